/** A component of React for `<imavatar-head>`: expressions are a property, events are callbacks. */

import { useEffect, useRef, useState, type CSSProperties, type DetailedHTMLProps } from "react";
import type { HTMLAttributes } from "react";
import type { ImavatarHead } from "imavatar-head";
import "imavatar-head";

declare module "react" {
  namespace JSX {
    interface IntrinsicElements {
      "imavatar-head": DetailedHTMLProps<HTMLAttributes<ImavatarHead>, ImavatarHead> & {
        src: string;
        track?: string | undefined;
      };
    }
  }
}

export interface HeadProps {
  src: string;
  /** Values of expressions by name; those that are not named are 0. */
  expression?: Readonly<Record<string, number>>;
  track?: string;
  style?: CSSProperties;
  onError?: (message: string) => void;
}

export function Head({ src, expression = {}, track, style, onError }: HeadProps) {
  const head = useRef<ImavatarHead>(null);
  const [loads, setLoads] = useState(0);

  useEffect(() => {
    const element = head.current!;
    const loaded = () => setLoads((count) => count + 1);
    const failed = (event: Event) => onError?.((event as CustomEvent<string>).detail);
    element.addEventListener("load", loaded);
    element.addEventListener("error", failed);
    if (element.avatar) loaded();
    return () => {
      element.removeEventListener("load", loaded);
      element.removeEventListener("error", failed);
    };
  }, [onError]);

  useEffect(() => {
    const element = head.current!;
    if (!element.avatar) return;
    const values = element.avatar.expressionNames.map((name) => expression[name] ?? 0);
    element.setFlame(values, element.flame.pose);
  }, [expression, loads]);

  return <imavatar-head ref={head} src={src} track={track} style={style} />;
}
