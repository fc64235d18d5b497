/** The button for light and dark colours: the system's, light, or dark; the choice is kept. */

const STORAGE_KEY = "imavatar-colours";

/** The choices in the order of the clicks: the value of `data-scheme`, its symbol and its name. */
const SCHEMES = [
  { value: "", symbol: "\u25d0", name: "as the system" },
  { value: "light", symbol: "\u2600\ufe0e", name: "light" },
  { value: "dark", symbol: "\u263e\ufe0e", name: "dark" },
] as const;

/** Apply the stored choice, and let a button change it. */
export function connectColourScheme(button: HTMLButtonElement): void {
  let chosen = Math.max(
    0,
    SCHEMES.findIndex(({ value }) => value === stored()),
  );
  const show = (): void => {
    const { value, symbol, name } = SCHEMES[chosen]!;
    document.documentElement.dataset["scheme"] = value;
    button.textContent = symbol;
    button.title = `Colours: ${name}`;
    button.setAttribute("aria-label", button.title);
  };
  button.addEventListener("click", () => {
    chosen = (chosen + 1) % SCHEMES.length;
    store(SCHEMES[chosen]!.value);
    show();
  });
  show();
}

function stored(): string | null {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null; // the browser refuses storage
  }
}

function store(value: string): void {
  try {
    if (value) localStorage.setItem(STORAGE_KEY, value);
    else localStorage.removeItem(STORAGE_KEY);
  } catch {
    // the choice holds until the page is closed
  }
}
