// What came of something the person did, said once at the edge of the screen.

import { notifications } from "@mantine/notifications";

import { Problem } from "../api/client";
import { sentence } from "./Page";

export const said = (title: string, message?: string): void => {
  notifications.show({ title, message: message ?? "", color: "seal", withBorder: true });
};

export const warned = (title: string, message?: string): void => {
  notifications.show({ title, message: message ?? "", color: "brick", withBorder: true, autoClose: 9_000 });
};

export const failed = (error: Error): void => {
  const hint = error instanceof Problem && error.hint ? sentence(error.hint) : "";
  warned(sentence(error.message), hint);
};
