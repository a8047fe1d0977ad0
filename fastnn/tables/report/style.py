"""How a report looks: light and dark, on a phone, and on paper."""

# Colours of series: M. Okabe and K. Ito, "Color Universal Design" (2008); on dark, paler ones of
# the same hues. Words reach a contrast of 4.5 on their ground, lines of 3.
STYLE = """
:root { --page: #f6f7f8; --card: #ffffff; --ink: #1d2327; --quiet: #58626b; --edge: #d9dee2;
  --accent: 0 114 178; --link: #005f96; --warn: #9a4b00; --warn-card: #fff6ea; --good: #00704f;
  --s0: #0072b2; --s1: #d55e00; --s2: #008a66; --s3: #b8578f; --s4: #9c6d00; --s5: #3b93c4;
  --s6: #333333; }
@media (prefers-color-scheme: dark) {
  :root { --page: #12161a; --card: #1b2126; --ink: #e8ecef; --quiet: #a3adb6; --edge: #364049;
    --accent: 60 160 220; --link: #79c3f2; --warn: #f3b265; --warn-card: #2b2318; --good: #4fd0a5;
    --s0: #58b4ea; --s1: #ff8f4d; --s2: #35c79c; --s3: #e39bc6; --s4: #edb949; --s5: #a8d8f0;
    --s6: #e8ecef; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
main, footer { max-width: 62rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 2.5rem; }
h1 { font-size: clamp(1.6rem, 4vw, 2.3rem); line-height: 1.2; margin: .2rem 0 .8rem;
  overflow-wrap: anywhere; text-wrap: balance; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 0 0 1rem; }
h3 { font-size: 1rem; margin: 0 0 .6rem; }
p { margin: .6rem 0; overflow-wrap: anywhere; }
small { font-size: .78em; font-weight: 400; }
a { color: var(--link); }
.source { color: var(--quiet); margin: 0; }
.lead { font-size: 1.2rem; line-height: 1.5; max-width: 48rem; }
.quiet, footer, figcaption, caption { color: var(--quiet); font-size: .9rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .8rem;
  margin: 1.4rem 0 1rem; }
.tiles div { background: var(--card); border: 1px solid var(--edge); border-radius: 10px;
  padding: .8rem 1rem; }
.tiles dt { color: var(--quiet); font-size: .85rem; }
.tiles dd { margin: 0; font-size: .85rem; color: var(--quiet); }
.tiles dt + dd { font-size: 1.7rem; line-height: 1.3; font-weight: 650; color: var(--ink);
  font-variant-numeric: tabular-nums; }
nav { display: flex; flex-wrap: wrap; gap: .3rem 1.2rem; padding: .9rem 0; margin-top: 1rem;
  border-top: 1px solid var(--edge); }
nav a { text-decoration: none; padding: .2rem 0; }
nav a:hover { text-decoration: underline; }
section { background: var(--card); border: 1px solid var(--edge); border-radius: 12px;
  padding: 1.4rem 1.5rem; margin: 0 0 1.2rem; }
.warnings { background: var(--warn-card); border: 1px solid var(--warn); border-radius: 12px;
  padding: 1rem 1.5rem; margin: 1.4rem 0 0; }
.warnings h2 { font-size: 1.05rem; color: var(--warn); margin: 0 0 .3rem; }
.warnings ul { margin: 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
/* A shadow where a table goes on beyond an end; its own ground covers it at that end. */
.scroll { overflow-x: auto; margin: 0 0 1rem; background:
  linear-gradient(to right, var(--card) 50%, transparent) 0 0 / 24px 100% no-repeat local,
  linear-gradient(to left, var(--card) 50%, transparent) 100% 0 / 24px 100% no-repeat local,
  linear-gradient(to right, var(--edge), transparent) 0 0 / 12px 100% no-repeat scroll,
  linear-gradient(to left, var(--edge), transparent) 100% 0 / 12px 100% no-repeat scroll; }
.scroll:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .95rem; }
table.fnn { width: 100%; }
caption { text-align: left; padding: 0 0 .5rem; max-width: 52rem; }
th, td { padding: .4rem .8rem; border-bottom: 1px solid var(--edge); vertical-align: top; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { color: var(--quiet); font-weight: 600; font-size: .88rem; vertical-align: bottom; }
thead small { display: block; white-space: nowrap; }
tbody th { font-weight: 600; overflow-wrap: anywhere; min-width: 6.5rem; max-width: 22rem; }
td { overflow-wrap: anywhere; }
td[style*=left] { min-width: 7rem; }
td[style*=right] { white-space: nowrap; }
.kind { display: inline-block; font-size: .82rem; padding: 0 .55em; border-radius: 1em;
  border: 1px solid var(--edge); white-space: nowrap; }
.kind.dropped { color: var(--warn); border-color: var(--warn); }
.gap { white-space: nowrap; padding-bottom: 3px; background: linear-gradient(rgb(var(--accent)) 0 0)
  0 100% / calc(var(--share) * 100%) 2px no-repeat, linear-gradient(var(--edge) 0 0)
  0 100% / 100% 2px no-repeat; }
.matrix { border-collapse: separate; border-spacing: 3px; }
.matrix th, .matrix td { border: 0; min-width: 3.4rem; }
.matrix thead th { text-align: center; max-width: 9rem; overflow-wrap: break-word; }
.matrix thead th:first-child { text-align: left; white-space: nowrap; }
.matrix tbody th { text-align: left; font-size: .88rem; max-width: 12rem; vertical-align: middle; }
.matrix td { text-align: center; padding: .35rem .5rem; white-space: nowrap; border-radius: 4px;
  background: rgb(var(--accent) / calc(var(--share) * .5)); }
.matrix td.right { box-shadow: inset 0 0 0 2px rgb(var(--accent) / .75); }
.matrix td small { display: block; line-height: 1.2; }
.matrix.upright thead th:not(:first-child) span { writing-mode: vertical-rl;
  transform: rotate(180deg); max-height: 10rem; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 21rem), 1fr));
  gap: 1.4rem 2rem; margin-top: 1.2rem; }
section > .charts:first-of-type { margin-top: 0; }
figure { margin: 0 0 .4rem; max-width: 30rem; }
figure + .scroll { margin-top: 1.4rem; }
.chart { display: block; width: 100%; height: auto; overflow: visible; }
.chart text { fill: var(--quiet); font-size: 12px; font-variant-numeric: tabular-nums; }
.chart path, .key path { fill: none; }
.chart .grid { stroke: var(--edge); stroke-width: .7; }
.chart .axis { stroke: var(--quiet); stroke-width: 1; }
.line { stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
.dash { stroke-dasharray: 6 4; }
.dots { stroke-linecap: round; stroke-dasharray: none; }
.cloud { opacity: .45; }
.bar { fill: var(--s0); }
.reference { stroke: var(--quiet); stroke-width: 1.3; stroke-dasharray: 1.5 3.5; }
.chart path.mark { stroke: var(--ink); stroke-width: 1; stroke-dasharray: 3 3; }
.chart text.mark { fill: var(--ink); font-weight: 600; }
.chart .cell { fill: var(--s0); }
.chart .frame { fill: none; stroke: var(--edge); stroke-width: .5%; }
.s0 { stroke: var(--s0); } .s1 { stroke: var(--s1); } .s2 { stroke: var(--s2); }
.s3 { stroke: var(--s3); } .s4 { stroke: var(--s4); } .s5 { stroke: var(--s5); }
.s6 { stroke: var(--s6); }
.key { display: flex; flex-wrap: wrap; gap: .1rem 1.2rem; list-style: none; margin: .3rem 0;
  padding: 0; font-size: .88rem; }
.key li { overflow-wrap: anywhere; }
.key svg { width: 24px; height: 12px; margin-right: .45em; }
figcaption { margin-top: .3rem; }
.findings { list-style: none; padding: 0; margin: 0; }
.findings li { border-left: 4px solid var(--edge); padding: .1rem 0 .1rem 1rem; margin: 0 0 1rem; }
.findings li.wrong { border-color: var(--warn); }
.findings li.right { border-color: var(--good); }
.findings strong { display: block; }
.findings p { margin: .2rem 0 0; }
details { margin: .8rem 0; }
summary { cursor: pointer; color: var(--link); }
details dt { font-weight: 600; margin-top: .6rem; }
details dd { margin: 0; }
details .scroll { margin-top: .8rem; }
footer { padding-top: .6rem; padding-bottom: 2.5rem; }
@media (max-width: 34rem) {
  main, footer { padding: 0 .8rem; }
  footer { padding-bottom: 2rem; }
  section { padding: 1.1rem .9rem; }
  .tiles { grid-template-columns: 1fr 1fr; gap: .6rem; }
  .tiles div { padding: .6rem .7rem; }
  .tiles dt + dd { font-size: 1.4rem; }
  .lead { font-size: 1.08rem; }
  th, td { padding: .35rem .5rem; }
}
@media print {
  :root { --page: #ffffff; }
  body { font-size: 11pt; }
  nav, details:not([open]) { display: none; }
  .charts { grid-template-columns: 1fr 1fr; }
  .tiles { grid-template-columns: repeat(4, 1fr); }
  section { border: 0; padding: 0; margin: 1.5rem 0; }
  .scroll { overflow: visible; }
  figure, tr, .tiles, .findings li { break-inside: avoid; }
  h2, h3, caption { break-after: avoid; }
  .matrix td, .gap { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""
