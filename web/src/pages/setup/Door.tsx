// What stands before the console: a word on one side, a form on the other.

import type { ReactNode } from "react";

import "../../style/setup.css";
import { Mark } from "../../parts/Mark";

export function Door({ motto, aside, children }: { motto: string; aside: ReactNode; children: ReactNode }) {
  return (
    <main className="door">
      <div className="word">
        <span className="brand"><Mark size={32} />Countersign</span>
        <p className="motto">{motto}</p>
        <div className="fine">{aside}</div>
      </div>
      <div className="in roomy">{children}</div>
    </main>
  );
}
