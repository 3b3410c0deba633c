#include "judge/html.h"

#include "judge/plot.h"

namespace octavo {
namespace {

constexpr const char* kStyle = R"(<style>
:root{--ink:#1c2430;--soft:#5d6878;--line:#dfe4ea;--paper:#fff;--back:#f4f6f8}
*{box-sizing:border-box}body{margin:0;background:var(--back);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
main{max-width:1180px;margin:0 auto;padding:24px}h1{font-size:24px;margin:0 0 4px}
h2{font-size:18px;margin:32px 0 8px}p,dl{margin:6px 0}.soft{color:var(--soft)}
.card{background:var(--paper);border:1px solid var(--line);border-radius:8px;padding:16px;margin:12px 0;overflow-x:auto}
.verdict{display:inline-block;padding:4px 14px;border-radius:6px;color:#fff;font-weight:600}
.pass{background:#1a7f4b}.fail{background:#b3261e}.none{background:#5d6878}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
th,td{text-align:right;padding:4px 10px;border-bottom:1px solid var(--line);white-space:nowrap}
th{color:var(--soft);font-weight:600}td.l,th.l{text-align:left}tr.test td{font-weight:600}
.plots{display:grid;grid-template-columns:repeat(auto-fit,minmax(440px,1fr));gap:12px}
svg{width:100%;height:auto}svg text{fill:var(--ink);font:12px system-ui,sans-serif}
svg .title{font-weight:600;font-size:13px}svg .tick,svg .label{fill:var(--soft);font-size:11px}
svg .grid{stroke:var(--line)}
.pics{display:grid;grid-template-columns:repeat(auto-fill,minmax(410px,1fr));gap:12px}
.row{display:grid;grid-template-columns:repeat(3,1fr);gap:4px}.row img{width:100%;display:block;border-radius:4px}
.row figcaption,.cap{font-size:12px;color:var(--soft)}figure{margin:0}
pre{background:var(--back);padding:10px;border-radius:6px;overflow-x:auto;font-size:13px}
summary{cursor:pointer;font-weight:600}
</style>)";

}  // namespace

std::string html_page(const std::string& title, const std::string& body) {
  std::string html =
      "<!doctype html><html lang='en'><head><meta charset='utf-8'><meta name='viewport' "
      "content='width=device-width'><title>" +
      escape_html(title) + "</title>";
  html += kStyle;
  return html + "</head><body><main>" + body + "</main></body></html>\n";
}

}  // namespace octavo
