// The frame around every page: where one is, where one can go, who one is, whether the line is up.

import { Kbd, Menu, useMantineColorScheme, type MantineColorScheme } from "@mantine/core";
import {
  IconBook2, IconDatabase, IconDeviceDesktop, IconDots, IconEyeSearch, IconGavel, IconInbox, IconKey, IconKeyboard, IconLogout, IconMoon, IconRoute,
  IconSearch, IconSend, IconShieldLock, IconStack2, IconSun, IconTerminal2, IconUsers, type Icon,
} from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { lazy, Suspense, useEffect, useState, type ReactNode } from "react";
import { Link, useLocation } from "wouter";

import { api, type Me } from "../api/client";
import { useLive } from "../api/live";
import { inbox } from "../api/queries";
import { drop } from "../lib/draft";
import { useKeys } from "../lib/keys";
import { forgetScripts } from "../lib/script";
import { useAnswers } from "./answers";
import { Face } from "./Bits";
import { Help } from "./Help";
import { Mark } from "./Mark";
import { NewPlaces } from "./NewPlaces";
import { failed } from "./toast";
import { may, Who } from "./who";

const Palette = lazy(() => import("./Palette"));

interface Way {
  readonly to: string;
  readonly label: string;
  readonly icon: Icon;
  readonly key: string;
  /** What policy must permit for the page to be of use. */
  readonly needs?: string;
}

const FIRST: readonly Way[] = [
  { to: "/", label: "My access", icon: IconKey, key: "g h" },
  { to: "/ask", label: "Ask", icon: IconSend, key: "g a" },
  { to: "/inbox", label: "Inbox", icon: IconInbox, key: "g i" },
  { to: "/sql", label: "SQL", icon: IconTerminal2, key: "g q" },
];
const SECOND: readonly Way[] = [
  { to: "/requests", label: "Requests", icon: IconStack2, key: "g r" },
  { to: "/grants", label: "Grants", icon: IconKey, key: "g g" },
  { to: "/sessions", label: "Sessions", icon: IconRoute, key: "g s" },
  { to: "/ledger", label: "Ledger", icon: IconBook2, key: "g l", needs: "ledger.read" },
  { to: "/accesses", label: "Who did what", icon: IconEyeSearch, key: "g w", needs: "ledger.read" },
];
const THIRD: readonly Way[] = [
  { to: "/resources", label: "Resources", icon: IconDatabase, key: "g d" },
  { to: "/policies", label: "Policies", icon: IconGavel, key: "g o", needs: "policy.read" },
  { to: "/people", label: "People", icon: IconUsers, key: "g p", needs: "principal.read" },
];

export const WAYS: readonly Way[] = [...FIRST, ...SECOND, ...THIRD];

const isHere = (to: string, here: string): boolean => (to === "/" ? here === "/" : here === to || here.startsWith(`${to}/`));

export function Shell({ me, left, children }: { me: Me; left: () => void; children: ReactNode }) {
  const [here, go] = useLocation();
  const [help, setHelp] = useState(false);
  const [seeking, setSeeking] = useState(false);
  useEffect(() => {
    // With a modifier it is no single key: it works while somebody types, and with single keys switched off.
    const listen = (event: KeyboardEvent): void => {
      if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
      event.preventDefault();
      setSeeking((open) => open || document.querySelector("[role=dialog]") === null);
    };
    window.addEventListener("keydown", listen);
    return () => window.removeEventListener("keydown", listen);
  }, []);
  const up = useLive();
  const waiting = useQuery(inbox).data?.length ?? 0;
  useAnswers();
  const open = (ways: readonly Way[]): Way[] => ways.filter((way) => !way.needs || may(me, way.needs)).map((way) => (way.to === "/resources" && may(me, "policy.read") ? { ...way, label: "Catalogue" } : way));
  useKeys({
    "?": () => setHelp(true),
    "/": () => setSeeking(true),
    ...Object.fromEntries(open(WAYS).map((way) => [way.key, () => go(way.to)])),
  });
  const menu = (place: "rail" | "top") => <Account me={me} left={left} help={() => setHelp(true)} place={place} />;

  return (
    <Who.Provider value={me}>
      <a className="skip" href="#main">Skip to content</a>
      <div className="shell">
        <div className="rail" role="region" aria-label="Where you can go">
          <Link href="/" className="brand"><Mark />Countersign</Link>
          <button type="button" className="seek" onClick={() => setSeeking(true)}>
            <IconSearch size={16} stroke={1.8} aria-hidden="true" /><span>Search</span><Kbd size="xs" aria-hidden="true">Ctrl K</Kbd>
          </button>
          <nav aria-label="Pages">
            <ul>
              {[FIRST, SECOND, THIRD].map((ways, part) => open(ways).map((way, i) => (
                <li key={way.to} className={part > 0 && i === 0 ? "gap" : ""}>
                  <Step way={way} here={here} count={way.to === "/inbox" ? waiting : 0} />
                </li>
              )))}
            </ul>
          </nav>
          <div className="foot">
            <Line up={up} />
            {menu("rail")}
          </div>
        </div>
        <div>
          <header className="top">
            <Link href="/" className="brand"><Mark size={26} />Countersign</Link>
            <div className="row">
              {!up && <Line up={up} />}
              <button type="button" className="seek" aria-label="Search or jump to" onClick={() => setSeeking(true)}><IconSearch size={20} stroke={1.8} aria-hidden="true" /></button>
              {menu("top")}
            </div>
          </header>
          <main className="main" id="main" tabIndex={-1}>
            <NewPlaces of={me} />
            {children}
          </main>
        </div>
      </div>
      <Tabs here={here} waiting={waiting} more={open([...FIRST.slice(3), ...SECOND.slice(1), ...THIRD])} />
      {seeking && <Suspense fallback={null}><Palette me={me} ways={open(WAYS)} close={() => setSeeking(false)} /></Suspense>}
      <Help opened={help} close={() => setHelp(false)} ways={open(WAYS)} />
    </Who.Provider>
  );
}

function Line({ up }: { up: boolean }) {
  return (
    <p className={up ? "line" : "line down"} role="status">
      {up ? "Live" : "Not connected, trying again"}
    </p>
  );
}

function Count({ of }: { of: number }) {
  if (of === 0) return null;
  return <span className="count">{of > 99 ? "99+" : of}<span className="unseen"> waiting</span></span>;
}

function Step({ way, here, count }: { way: Way; here: string; count: number }) {
  const Sign = way.icon;
  return (
    <Link href={way.to} className="way" aria-current={isHere(way.to, here) ? "page" : undefined}>
      <Sign size={18} stroke={1.7} aria-hidden="true" />
      {way.label}
      <Count of={count} />
    </Link>
  );
}

function Tabs({ here, waiting, more }: { here: string; waiting: number; more: readonly Way[] }) {
  const [, go] = useLocation();
  const shown = [...FIRST.slice(0, 3), SECOND[0]].filter((way) => way !== undefined);
  return (
    <nav className="tabs" aria-label="Pages at the thumb">
      <ul>
        {shown.map((way) => (
          <li key={way.to}>
            <Link href={way.to} className="tab" aria-current={isHere(way.to, here) ? "page" : undefined}>
              <way.icon size={22} stroke={1.6} aria-hidden="true" />
              {way.to === "/" ? "Access" : way.label}
              {way.to === "/inbox" && <Count of={waiting} />}
            </Link>
          </li>
        ))}
        <li>
          <Menu position="top-end" width={220}>
            <Menu.Target>
              <button type="button" className="tab" aria-current={more.some((way) => isHere(way.to, here)) ? "true" : undefined}>
                <IconDots size={22} stroke={1.6} aria-hidden="true" />
                More
              </button>
            </Menu.Target>
            <Menu.Dropdown>
              {more.map((way) => (
                <Menu.Item key={way.to} leftSection={<way.icon size={18} stroke={1.7} />} onClick={() => go(way.to)}>
                  {way.label}
                </Menu.Item>
              ))}
            </Menu.Dropdown>
          </Menu>
        </li>
      </ul>
    </nav>
  );
}

const SCHEMES: readonly [MantineColorScheme, string, Icon][] = [
  ["light", "Light", IconSun],
  ["dark", "Dark", IconMoon],
  ["auto", "As the system", IconDeviceDesktop],
];

function Account({ me, left, help, place }: { me: Me; left: () => void; help: () => void; place: "rail" | "top" }) {
  const { colorScheme, setColorScheme } = useMantineColorScheme();
  const [, go] = useLocation();
  const signOut = async (): Promise<void> => {
    try {
      await api.POST("/sign-out");
      drop();
      forgetScripts();
      left();
    } catch (error) {
      failed(error as Error);
    }
  };
  return (
    <Menu position={place === "rail" ? "top-start" : "bottom-end"} width={220}>
      <Menu.Target>
        <button type="button" className="whoami" title="Account">
          <Face name={me.name} />
          <span>
            <b>{me.name}</b>
            <small>{me.groups.length > 0 ? me.groups.join(", ") : me.principal}</small>
          </span>
        </button>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Label>Signed in as {me.principal}</Menu.Label>
        <Menu.Item leftSection={<IconShieldLock size={17} stroke={1.7} />} onClick={() => go("/account")}>Account and sign-ins</Menu.Item>
        <Menu.Divider />
        {SCHEMES.map(([scheme, label, Sign]) => (
          <Menu.Item
            key={scheme}
            leftSection={<Sign size={17} stroke={1.7} />}
            onClick={() => setColorScheme(scheme)}
            rightSection={colorScheme === scheme ? <span className="small quiet">on</span> : null}
          >
            {label}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item leftSection={<IconKeyboard size={17} stroke={1.7} />} onClick={help}>Keys</Menu.Item>
        <Menu.Item leftSection={<IconLogout size={17} stroke={1.7} />} onClick={() => void signOut()}>Sign out</Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}
