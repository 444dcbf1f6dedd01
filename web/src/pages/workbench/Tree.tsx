// What there is to work on: relations and their columns, to look up and to put into a statement.

import { TextInput } from "@mantine/core";
import { IconChevronRight, IconEye, IconTable } from "@tabler/icons-react";
import { useMemo, useState } from "react";

import { quoted, type Relation } from "../../lib/complete";
import { Bones } from "../../parts/Page";
import { Plain } from "../../parts/Sql";

/** How many relations are listed; the others are found by a word. */
const LISTED_MAX = 200;

export function Tree({ known, put, look }: { known: readonly Relation[] | undefined; put: (name: string) => void; look: (query: string) => void }) {
  const [word, setWord] = useState("");
  const [open, setOpen] = useState<string>();
  const found = useMemo(() => {
    const wanted = word.trim().toLowerCase();
    return (known ?? []).filter((one) => `${one.schema}.${one.name} ${one.columns.map((column) => column.name).join(" ")}`.toLowerCase().includes(wanted));
  }, [known, word]);
  if (!known) return <Bones rows={6} height={30} />;
  if (known.length === 0) return <p className="small quiet">No names of tables could be read. Statements run all the same.</p>;
  return (
    <div className="stack" style={{ gap: 10 }}>
      <TextInput size="xs" aria-label="Find a table or a column" placeholder="Find a table or a column" value={word} onChange={(event) => setWord(event.currentTarget.value)} spellCheck={false} />
      <ul className="tree" aria-label="Tables and views">
        {found.slice(0, LISTED_MAX).map((one) => {
          const name = `${one.schema}.${one.name}`;
          const shown = open === name;
          return (
            <li key={name}>
              <div className="leaf">
                <button type="button" aria-expanded={shown} onClick={() => { setOpen(shown ? undefined : name); look(`SELECT *\nFROM ${said(one)}\nLIMIT 100;`); }}>
                  <IconChevronRight size={14} stroke={2} aria-hidden="true" className={shown ? "turned" : ""} />
                  {one.kind === "v" || one.kind === "m" ? <IconEye size={15} stroke={1.7} aria-hidden="true" /> : <IconTable size={15} stroke={1.7} aria-hidden="true" />}
                  <span>{one.schema !== "public" && <span className="quiet"><Plain text={`${one.schema}.`} /></span>}<Plain text={one.name} /></span>
                </button>
              </div>
              {shown && (
                <ul>
                  {one.columns.map((column) => (
                    <li key={column.name}>
                      <button type="button" title={`Put ${column.name} into the text`} onClick={() => put(quoted(column.name))}><Plain text={column.name} /><small><Plain text={column.type} /></small></button>
                    </li>
                  ))}
                </ul>
              )}
            </li>
          );
        })}
      </ul>
      {found.length > LISTED_MAX && <p className="small quiet">and {(found.length - LISTED_MAX).toLocaleString()} more</p>}
      {found.length === 0 && <p className="small quiet">Nothing is called that.</p>}
    </div>
  );
}

const said = (one: Relation): string => (one.schema === "public" ? quoted(one.name) : `${quoted(one.schema)}.${quoted(one.name)}`);
