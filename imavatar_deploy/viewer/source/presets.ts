/** Named faces, for avatars whose expressions have ARKit's names, as OpenHead's have. */

/** A face: values of expressions by name, and the opening of the jaw in radians. */
export interface Preset {
  readonly title: string;
  readonly expression: Readonly<Record<string, number>>;
  readonly jaw: number;
}

/** The same value for an expression of both sides. */
const both = (name: string, value: number): Record<string, number> => ({
  [`${name}Left`]: value,
  [`${name}Right`]: value,
});

const PRESETS: readonly Preset[] = [
  { title: "Neutral", expression: {}, jaw: 0 },
  {
    title: "Smile",
    expression: {
      ...both("mouthSmile", 0.8),
      ...both("cheekSquint", 0.4),
      ...both("eyeSquint", 0.2),
    },
    jaw: 0,
  },
  {
    title: "Surprise",
    expression: { browInnerUp: 0.9, ...both("browOuterUp", 0.9), ...both("eyeWide", 0.8) },
    jaw: 0.22,
  },
  {
    title: "Sad",
    expression: { browInnerUp: 0.9, ...both("mouthFrown", 0.7), mouthShrugLower: 0.4 },
    jaw: 0,
  },
  {
    title: "Angry",
    expression: {
      ...both("browDown", 0.9),
      ...both("noseSneer", 0.5),
      ...both("eyeSquint", 0.3),
      ...both("mouthFrown", 0.4),
    },
    jaw: 0,
  },
  { title: "Blink", expression: both("eyeBlink", 1), jaw: 0 },
  { title: "Kiss", expression: { mouthPucker: 0.8, mouthFunnel: 0.2 }, jaw: 0 },
  {
    title: "Speak",
    expression: { ...both("mouthLowerDown", 0.3), ...both("mouthUpperUp", 0.25) },
    jaw: 0.25,
  },
];

/** The presets of an avatar: those whose expressions it has, or none where it has no such names. */
export function presetsOf(expressionNames: readonly string[]): readonly Preset[] {
  const names = new Set(expressionNames);
  const fitting = PRESETS.filter(({ expression }) =>
    Object.keys(expression).every((name) => names.has(name)),
  );
  return fitting.length > 1 ? fitting : [];
}
