// SPDX-License-Identifier: Apache-2.0
#include "cmd/output/page_style.hpp"

namespace umbra::cmd {
namespace {

// Lines differ by dash and width as well as by colour, and each colour has at least 3:1 against its ground.
constexpr std::string_view sheet = R"css(
:root {
  --ground: #ffffff; --card: #f6f7f9; --ink: #1b2330; --soft: #56606f; --rule: #d5dae1; --grid: #e6e9ee;
  --s0: #1b5fc1; --s1: #b4560a; --s2: #17775a; --s3: #96458d; --s4: #6f7884; --bad: #c0312b; --truth: #f5cdc9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #12161d; --card: #1a2029; --ink: #e7ebf1; --soft: #a3adbb; --rule: #38414e; --grid: #262e39;
    --s0: #6fabff; --s1: #eb9d4c; --s2: #4dc49a; --s3: #dc90d2; --s4: #8f99a7; --bad: #ff7d72; --truth: #57292a;
  }
}
* { box-sizing: border-box; }
html { background: var(--ground); color-scheme: light dark; }
body { margin: 0; color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 2.2rem 1.4rem 4rem; }
h1 { font-size: 1.75em; line-height: 1.25; margin: 0 0 .35em; overflow-wrap: anywhere; }
h2 { font-size: 1.25em; margin: 2.4em 0 .5em; padding-bottom: .25em; border-bottom: 1px solid var(--rule); }
h3 { font-size: 1em; margin: 0 0 .3em; overflow-wrap: anywhere; }
p { margin: .4em 0 .8em; max-width: 54rem; }
.lead { font-size: 1.07em; }
.note, caption, .legend, .meanings { color: var(--soft); font-size: .9em; }
.nothing { padding: 1.2em; border: 1px dashed var(--rule); color: var(--soft); }
.facts { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1px; margin: 1.4em 0;
  background: var(--rule); border: 1px solid var(--rule); }
@media (max-width: 44rem) { .facts { grid-template-columns: repeat(2, 1fr); } }
.facts div { background: var(--card); padding: .55em .8em; }
.facts dt { color: var(--soft); font-size: .82em; }
.facts dd { margin: 0; font-weight: 600; overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
.wide { overflow-x: auto; margin: 1em 0 1.6em; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4em; }
th, td { padding: .32em .7em; text-align: right; border-bottom: 1px solid var(--grid); white-space: nowrap; }
th { font-weight: 500; }
th:first-child { text-align: left; padding-left: .5em; }
thead th { color: var(--soft); font-size: .86em; border-bottom-color: var(--rule); }
tr.model th, tr.model td { font-weight: 650; background: var(--card); }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 27rem), 1fr)); gap: 1.2rem 2rem; }
figure { margin: 0; }
figcaption { font-weight: 600; margin-bottom: .4em; }
svg { display: block; width: 100%; height: auto; }
.episode { margin: 1.8em 0 2.4em; }
.meanings { columns: 24rem 2; column-gap: 2rem; }
.meanings div { break-inside: avoid; padding-bottom: .25em; }
.meanings dt { display: inline; font-weight: 600; }
.meanings dt::after { content: ": "; }
.meanings dd { display: inline; margin: 0; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: .2em 1.3em; margin: .5em 0; padding: 0; }
.legend li { display: flex; align-items: center; gap: .45em; }
svg.swatch { width: 28px; height: 10px; flex: none; }
text { font-size: 12px; fill: var(--soft); font-variant-numeric: tabular-nums; }
text.axis { fill: var(--ink); }
text.event { fill: var(--bad); stroke: var(--ground); stroke-width: 3px; paint-order: stroke; }
.middle { text-anchor: middle; }
.end { text-anchor: end; }
.frame { fill: none; stroke: var(--rule); }
.grid { stroke: var(--grid); }
.line { fill: none; stroke: var(--ink); stroke-width: 1.6; stroke-linejoin: round; }
.series-0 { stroke: var(--s0); stroke-width: 2.4; }
.series-1 { stroke: var(--s1); stroke-dasharray: 7 3; }
.series-2 { stroke: var(--s2); stroke-dasharray: 2 3; }
.series-3 { stroke: var(--s3); stroke-dasharray: 9 3 2 3; }
.series-4 { stroke: var(--s4); stroke-width: 1.1; }
.dot { fill: var(--s0); stroke: var(--ground); stroke-width: 1.2; }
.diagonal { stroke: var(--soft); stroke-dasharray: 3 4; stroke-width: 1.2; }
.count { fill: var(--s0); opacity: .55; }
.measured { stroke: var(--ink); stroke-width: 1.7; }
.measured-peak { stroke: var(--soft); stroke-width: .8; }
.band { fill: var(--s0); opacity: .2; }
.middle-line { stroke: var(--s0); stroke-width: 1.6; }
.came { stroke: var(--s1); stroke-dasharray: 2 3; stroke-width: 1.4; }
.threshold { stroke: var(--bad); stroke-dasharray: 8 4; stroke-width: 1.3; }
.truth { fill: var(--truth); }
.probability { stroke: var(--s2); stroke-width: 1.6; }
.probability-area { fill: var(--s2); opacity: .22; }
.alarm-level { stroke: var(--soft); stroke-dasharray: 3 3; stroke-width: 1.1; }
.onset { stroke: var(--bad); stroke-width: 1.4; }
.alarm { stroke: var(--bad); stroke-dasharray: 2 3; stroke-width: 1.2; }
.below-p10, .above-p90 { fill: var(--s1); }
.below-p50, .above-p50 { fill: var(--s0); opacity: .55; }
.above-p50 { opacity: .35; }
.right { stroke: var(--ink); stroke-dasharray: 3 3; stroke-width: 1.2; }
.hit { fill: transparent; }
.hit:hover { fill: var(--soft); opacity: .15; }
@page { size: A4; margin: 12mm; }
@media print {
  :root {
    --ground: #ffffff; --card: #f2f4f6; --ink: #000000; --soft: #444444; --rule: #bbbbbb; --grid: #e2e2e2;
    --s0: #1b5fc1; --s1: #b4560a; --s2: #17775a; --s3: #96458d; --s4: #6f7884; --bad: #c0312b; --truth: #f5cdc9;
  }
  body { font-size: 9pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { padding: 0; max-width: none; }
  h2 { margin-top: 1.6em; }
  h2, h3 { break-after: avoid; }
  p, figure, table, .facts, .pair, .legend { break-inside: avoid; }
  p:has(+ .pair) { break-after: avoid; }
  .pair { grid-template-columns: 1fr 1fr; gap: 1rem; }
  .episode { margin: 1em 0 1.4em; }
  .wide { overflow: visible; }
  th, td { padding: .25em .4em; }
}
)css";

}  // namespace

std::string_view page_style() {
  return sheet;
}

}  // namespace umbra::cmd
