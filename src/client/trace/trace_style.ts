/**
 * How the page of a trace looks.
 * @module
 */

/** Its style sheet. */
export const TRACE_STYLE: string = `
:root { color-scheme: light dark; --line: #8884; --mark: #2a7ae2; --bad: #c62828; --dim: light-dark(#63676d, #9aa0a6); }
* { box-sizing: border-box; }
body { margin: 0; height: 100vh; display: flex; flex-direction: column; font: 14px/1.4 system-ui, sans-serif; }
header { display: flex; gap: 1rem; align-items: baseline; padding: .5rem .8rem; flex-wrap: wrap; }
h1 { font-size: 1.1rem; margin: 0; }
h2 { font-size: .95rem; margin: .4rem .6rem; }
#about { margin: 0; color: var(--dim); flex: 1; }
#about .bad { color: var(--bad); }
#search { width: 22rem; max-width: 100%; padding: .3rem .5rem; }
#strip { display: flex; gap: 3px; overflow-x: auto; padding: 0 .8rem .3rem; min-height: 5.4rem; }
#strip button { padding: 0; border: 2px solid transparent; background: #000; cursor: pointer; flex: none; position: relative; }
#strip button[aria-current] { border-color: var(--mark); }
#strip img { display: block; height: 4.4rem; }
#strip span { position: absolute; right: 0; bottom: 0; background: #000b; color: #fff; font-size: 11px; padding: 0 3px; }
#bar { display: flex; gap: .8rem; align-items: center; padding: .2rem .8rem; border-bottom: 1px solid var(--line); }
#time { flex: 1; }
#now { min-width: 7rem; text-align: right; font-variant-numeric: tabular-nums; }
main { flex: 1; display: grid; grid-template-columns: minmax(15rem, 1fr) 2.4fr minmax(18rem, 1.3fr); min-height: 0; }
section { overflow: auto; border-right: 1px solid var(--line); min-height: 0; }
#right { display: flex; flex-direction: column; border-right: 0; }
ol { list-style: none; margin: 0; padding: 0; }
#lines { overflow: auto; flex: 1; }
li { padding: .2rem .6rem; border-left: 3px solid transparent; overflow-wrap: anywhere; }
#actions li { cursor: pointer; }
#actions li:focus-visible { outline: 2px solid var(--mark); }
li[aria-current] { background: #2a7ae222; border-left-color: var(--mark); }
li.bad { border-left-color: var(--bad); }
li.later:not([aria-current]) { opacity: .65; }
li time { color: var(--dim); font-size: 12px; margin-right: .5rem; font-variant-numeric: tabular-nums; }
li b { font-weight: 600; margin-right: .4rem; }
li small { color: var(--dim); margin-right: .4rem; white-space: nowrap; }
li pre { margin: 0; font: 12px/1.35 ui-monospace, monospace; white-space: pre-wrap; }
li .why { color: var(--bad); display: block; }
li .said { color: var(--dim); display: block; }
figure { margin: .5rem; }
figcaption { color: var(--dim); margin-bottom: .2rem; }
canvas { max-width: 100%; background: #000; display: block; border: 1px solid var(--line); }
#middle canvas { max-height: calc(50vh - 8rem); }
#middle figure[hidden] + figure canvas { max-height: calc(100vh - 14rem); }
[role=tablist] { display: flex; border-bottom: 1px solid var(--line); }
[role=tab] { border: 0; background: none; padding: .5rem .8rem; cursor: pointer; color: inherit; font: inherit; }
[role=tab][aria-selected=true] { border-bottom: 2px solid var(--mark); font-weight: 600; }
@media (max-width: 60rem) { body { height: auto; } main { grid-template-columns: 1fr; } section { max-height: 60vh; } #middle canvas { max-height: none; } }
`;
