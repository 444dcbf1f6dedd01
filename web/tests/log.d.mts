export declare const sha256: (...parts: readonly unknown[]) => Buffer;
export declare const leafOf: (line: string) => Buffer;
export declare function root(leaves: Buffer[]): Buffer;
export declare function makeLog(name: string): { name: string; vkey: string; note: (leaves: readonly Buffer[], origin?: string) => string };
export declare function tile(leaves: Buffer[], path: string): Buffer | undefined;
