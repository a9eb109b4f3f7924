/// The look that all HTML reports share: one page, nothing loaded, light or dark as the reader's system is, readable on a phone and on paper.
///
/// Contrast of every text is at least 4.5 : 1 on its ground (WCAG AA) in both schemes; no verdict is told by colour alone.
enum PageStyle {
    static let css = """
        :root{color-scheme:light dark;--ink:#1c1c1c;--dim:#555;--ground:#fff;--panel:#f5f6f7;--line:#d9dcdf;--good:#1f6f2b;--bad:#b3261e;--open:#7a5600;--mark:#ffd54f;--mark-ink:#1c1c1c;--link:#0b57d0;--bar:#2e7d32;--bar-bad:#c0392b}
        @media(prefers-color-scheme:dark){:root{--ink:#e8e8e8;--dim:#b0b3b8;--ground:#161718;--panel:#232527;--line:#3a3d40;--good:#7bd88a;--bad:#ff8a80;--open:#e6c35c;--mark:#7a5c00;--mark-ink:#fff;--link:#8ab4f8;--bar:#4caf50;--bar-bad:#ef5350}}
        *{box-sizing:border-box}body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:82rem;padding:0 1rem;color:var(--ink);background:var(--ground)}
        h1{font-size:1.4rem;margin:0 0 .6rem}h2{font-size:1.1rem;margin:2rem 0 .5rem;overflow-wrap:anywhere}a{color:var(--link)}
        .lead{font-size:1.15rem;font-weight:600;margin:.4rem 0}.score{font-size:2.4rem;line-height:1.1}.dim{color:var(--dim)}
        .passed,.good{color:var(--good)}.failed,.bad,.why{color:var(--bad)}.open{color:var(--open)}td.passed::before{content:"✓ "}td.failed::before{content:"✗ "}td.open::before{content:"– "}
        .wide{overflow-x:auto}table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.35rem .6rem;border-bottom:1px solid var(--line)}
        th{font-weight:600;color:var(--dim);white-space:nowrap}.n{text-align:right;font-variant-numeric:tabular-nums}.all td{font-weight:600}td p{margin:0 0 .3rem}
        .bar{width:10rem;min-width:6rem;vertical-align:middle}.bar span{display:flex;height:.7rem;border-radius:.35rem;overflow:hidden;background:var(--panel)}.bar .p{background:var(--bar)}.bar .f{background:var(--bar-bad)}
        code,pre{font-family:ui-monospace,"SF Mono",Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.92em}code{white-space:nowrap}
        pre{white-space:pre-wrap;overflow-wrap:anywhere;background:var(--panel);border-radius:.3rem;padding:.35rem .5rem;margin:.2rem 0;max-height:16rem;overflow:auto}mark{background:var(--mark);color:var(--mark-ink);border-radius:.15rem}
        summary{cursor:pointer}details div{margin:.3rem 0 .3rem 1rem}.finding{border-left:3px solid var(--bar-bad);padding-left:.6rem}
        .filters{display:flex;gap:.6rem;flex-wrap:wrap;align-items:center}input,select{font:inherit;padding:.3rem .5rem;max-width:100%}input{width:20rem}
        input::placeholder{color:var(--dim);opacity:1}:focus-visible{outline:2px solid var(--link);outline-offset:2px}
        .diff{table-layout:fixed}.diff .field{width:22%}.diff .rule{width:24%}
        @media(max-width:46rem){#table thead{display:none}#table tr,#table td{display:block;border:0;padding:.1rem 0}#table tr{border-bottom:1px solid var(--line);padding:.5rem 0}#table tr[hidden]{display:none}#table td:not(:last-child){display:inline-block;margin-right:.8rem}.diff{min-width:44rem}}
        @media print{.filters{display:none}body{max-width:none}pre{max-height:none}}
        """
}
