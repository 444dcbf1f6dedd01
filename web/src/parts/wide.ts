// Whether there is room for a list and what is chosen in it side by side.

import { useSyncExternalStore } from "react";

const query = (): MediaQueryList => window.matchMedia("(min-width: 1081px)");

export const useWide = (): boolean =>
  useSyncExternalStore(
    (call) => {
      const list = query();
      list.addEventListener("change", call);
      return () => list.removeEventListener("change", call);
    },
    () => query().matches,
  );
