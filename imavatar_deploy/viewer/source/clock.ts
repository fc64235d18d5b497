/** Times of packets: the sender's clock, and the interval between two faces.
 *
 * The rules and their numbers are those of `runtime/live/motion/timing.py`. Times are in seconds.
 */

const WINDOW_SECONDS = 3;
const FOLLOW_SECONDS = 1;
const FIRST_FOLLOW_SECONDS = 0.1;
const JUMP_SECONDS = 0.25;
const RESTART_PACKETS = 3;
const RESTART_SECONDS = 0.1;

interface Delay {
  arrived: number;
  delay: number;
}

/** The sender's time of any moment here, from the fastest packets of the last seconds. */
export class SenderClock {
  private least: Delay[] = []; // delays growing: the first is the least
  private outliers: Delay[] = [];
  private delay = 0;
  private start = -Infinity;
  private now = -Infinity;

  /** Learn from a packet.
   *
   * @returns `off` where its time is of another clock, `restarted` where it begins one, or `on`.
   */
  add(sent: number, arrived: number): "on" | "off" | "restarted" {
    const delay = arrived - sent;
    const first = this.least[0];
    let state: "on" | "restarted" = "on";
    if (!first) {
      this.restart(delay, arrived);
    } else if (Math.abs(delay - first.delay) > JUMP_SECONDS) {
      if (!this.isSure({ arrived, delay })) return "off";
      this.restart(delay, arrived);
      state = "restarted";
    }
    this.outliers = [];
    while (this.least.length && this.least.at(-1)!.delay >= delay) this.least.pop();
    this.least.push({ arrived, delay });
    while (this.least[0]!.arrived < arrived - WINDOW_SECONDS) this.least.shift();
    return state;
  }

  /** The sender's time at a local time. */
  at(now: number): number {
    if (now > this.now && this.least.length) {
      const half = (now - this.start) / 2;
      const patience = Math.min(FOLLOW_SECONDS, Math.max(FIRST_FOLLOW_SECONDS, half));
      const share = 1 - Math.exp((this.now - now) / patience);
      this.delay += share * (this.least[0]!.delay - this.delay);
      this.now = now;
    }
    return now - this.delay;
  }

  private restart(delay: number, arrived: number): void {
    this.least = [];
    this.delay = delay;
    this.start = arrived;
    this.now = Math.max(arrived, this.now);
  }

  private isSure(outlier: Delay): boolean {
    const first = this.outliers[0];
    if (first && Math.abs(outlier.delay - first.delay) > JUMP_SECONDS) this.outliers = [];
    this.outliers.push(outlier);
    return (
      this.outliers.length >= RESTART_PACKETS &&
      outlier.arrived - this.outliers[0]!.arrived >= RESTART_SECONDS
    );
  }
}

const GAP_MEMORY = 31;
const GAPS_NEEDED = 8;
const SHORTEST_GAP = 1e-3;
const LONGEST_GAP = 0.5;
const INTERVAL_LEARNING_RATE = 0.05;

/** The interval between two faces of a source, from their own times. */
export class IntervalEstimator {
  private newest: number | undefined;
  private readonly gaps: number[] = [];

  constructor(public interval: number) {}

  /** Discard the newest time; later ones are of another clock. */
  reset(): void {
    this.newest = undefined;
  }

  add(time: number): void {
    if (this.newest !== undefined && time <= this.newest) return;
    const gap = this.newest === undefined ? 0 : time - this.newest;
    if (gap >= SHORTEST_GAP && gap <= LONGEST_GAP) this.gaps.push(gap);
    if (this.gaps.length > GAP_MEMORY) this.gaps.shift();
    this.newest = time;
    if (this.gaps.length < GAPS_NEEDED) return;
    const estimate = [...this.gaps].sort((a, b) => a - b)[Math.floor(this.gaps.length / 3)]!;
    this.interval += INTERVAL_LEARNING_RATE * (estimate - this.interval);
  }
}
