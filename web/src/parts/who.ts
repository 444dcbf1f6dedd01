// Who is at the desk, for every part of the page.

import { createContext, useContext } from "react";

import type { Me } from "../api/client";

export const Who = createContext<Me | undefined>(undefined);

/** The caller. */
export function useMe(): Me {
  const me = useContext(Who);
  if (!me) throw new Error("nobody is signed in");
  return me;
}

/** Whether policy permits the caller an action as a whole; what is offered is judged again when it is done. */
export const may = (me: Me, action: string): boolean => me.capabilities.includes(action);
