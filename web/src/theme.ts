// The console's own colours and measures for the component library. Everything else is in style/.

import { createTheme, type MantineColorsTuple } from "@mantine/core";

const seal: MantineColorsTuple = [
  "#eef7f5", "#d9eeea", "#b2dcd5", "#86c8bd", "#5bb0a4", "#38958b", "#217b74", "#166660", "#0f5257", "#0a3b40",
];
const brick: MantineColorsTuple = [
  "#fdf2ef", "#f9e0da", "#f2bfb4", "#ea9d8d", "#dd7a66", "#c95a46", "#b14432", "#983626", "#842d1f", "#5f2017",
];

const fonts = {
  text: '-apple-system, "Segoe UI", Roboto, "Noto Sans", Ubuntu, Cantarell, "Helvetica Neue", "Liberation Sans", Arial, system-ui, sans-serif',
  heads: '"Iowan Old Style", "Palatino Linotype", P052, "URW Palladio L", Palatino, Georgia, serif',
  code: 'ui-monospace, "SF Mono", "Cascadia Mono", "JetBrains Mono", Menlo, Consolas, "Liberation Mono", monospace',
};

export const theme = createTheme({
  primaryColor: "seal",
  primaryShade: { light: 8, dark: 3 },
  autoContrast: true,
  luminanceThreshold: 0.35,
  colors: { seal, brick },
  fontFamily: fonts.text,
  fontFamilyMonospace: fonts.code,
  headings: { fontFamily: fonts.heads, fontWeight: "600" },
  defaultRadius: 8,
  focusRing: "auto",
  cursorType: "pointer",
  respectReducedMotion: true,
  components: {
    Button: { defaultProps: { variant: "filled" } },
    // The page keeps its scroll bar beneath a dialog, so that nothing moves sideways.
    Modal: { defaultProps: { removeScrollProps: { removeScrollBar: false }, closeButtonProps: { "aria-label": "Close" } } },
    Notification: { defaultProps: { closeButtonProps: { "aria-label": "Close" } } },
  },
});
