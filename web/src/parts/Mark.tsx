// The product's mark: two ticks, one countersigning the other.

export function Mark({ size = 28 }: { size?: number }) {
  return (
    <svg width={size} height={size} viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect width="32" height="32" rx="8" fill="#0f5257" stroke="#ffffff" strokeOpacity="0.18" />
      <g fill="none" strokeWidth="2.6" strokeLinecap="round" strokeLinejoin="round">
        <path d="M6.5 17.2l4.6 4.6L20.4 12" stroke="#7fd8c9" />
        <path d="M14.2 19.6l2.4 2.4 9-10.2" stroke="#fff" />
      </g>
    </svg>
  );
}
