import Conformance

/// One page, with everything in it: opens from a disk, loads nothing.
public struct HTMLReport {
    public let results: Results
    public let catalogue: Catalogue?

    /// With the catalogue the page also shows what each requirement says.
    public init(_ results: Results, catalogue: Catalogue? = nil) {
        self.results = results
        self.catalogue = catalogue
    }

    public var text: String {
        var page = """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
            <title>Hyperswarm wire conformance: \(Text.score(results.score))</title>
            <style>\(HTMLReport.style)</style></head><body>
            <header><h1>Hyperswarm wire conformance</h1>
            <p><b class="score">\(Text.score(results.score))</b> of 100 &nbsp; coverage \(Text.percent(results.coverage))</p>
            <p>\(Escape.xml(results.implementation.name)) \(Escape.xml(results.implementation.version)), held against bytes that Node.js made. Corpus <code>\(Escape.xml(String(results.corpusDigest.prefix(16))))</code>, tool \(Escape.xml(results.toolVersion)), seed \(results.seed), score version \(Results.scoreVersion).</p></header>

            """
        page += layers
        page += summary
        page += requirements
        page += "<script>\(HTMLReport.script)</script></body></html>\n"
        return page
    }

    private var layers: String {
        var out =
            "<h2>Layers</h2><table><tr><th>layer</th><th>requirements</th><th>passed</th><th>failed</th><th>not run</th><th>score</th><th>coverage</th><th></th></tr>\n"
        for layer in results.layers {
            let c = layer.counts
            func share(_ n: Int) -> Int { c.total == 0 ? 0 : n * 100 / c.total }
            out +=
                "<tr><td><a href=\"#requirements\" data-layer=\"\(layer.name)\">\(layer.name)</a></td><td>\(c.total)</td><td>\(c.passed)</td><td>\(c.failed)</td><td>\(c.notRun)</td>"
            out += "<td>\(Text.score(layer.score))</td><td>\(Text.percent(layer.coverage))</td>"
            out +=
                "<td class=\"bar\"><i class=\"p\" style=\"width:\(share(c.passed))%\"></i><i class=\"f\" style=\"width:\(share(c.failed))%\"></i></td></tr>\n"
        }
        let c = results.counts
        out +=
            "<tr class=\"all\"><td>all</td><td>\(c.total)</td><td>\(c.passed)</td><td>\(c.failed)</td><td>\(c.notRun)</td><td>\(Text.score(results.score))</td><td>\(Text.percent(results.coverage))</td><td></td></tr></table>\n"
        return out
    }

    private var summary: String {
        let hardening = results.hardening
        let vectors = results.vectors
        var out = "<ul><li>hardening: \(hardening.passed) of \(hardening.total) passed (not part of the score)</li>"
        out +=
            "<li>vectors: \(vectors.passed) of \(vectors.cases) cases passed, \(vectors.fieldsCompared) of \(vectors.fieldsExpected) expected fields compared</li>"
        out +=
            "<li>reference (\(Escape.xml(results.referenceName))): \(results.reference.passed) requirements shown by its recordings, \(results.reference.failed) contradicted</li></ul>\n"
        if !results.bundles.isEmpty {
            out +=
                "<details><summary>\(Text.plural(results.bundles.count, "recording"))</summary><table><tr><th>recording</th><th>packets</th><th>unexplained</th><th>verdict</th></tr>\n"
            for bundle in results.bundles {
                out +=
                    "<tr><td>\(Escape.xml(bundle.name))</td><td>\(bundle.packets)</td><td>\(bundle.unexplained)</td><td class=\"\(HTMLReport.colour(bundle.verdict))\">\(bundle.verdict.rawValue)</td></tr>\n"
            }
            out += "</table></details>\n"
        }
        return out
    }

    private var requirements: String {
        var out = """
            <h2 id="requirements">Requirements</h2>
            <p class="filters"><input id="q" type="search" placeholder="filter by id, text, check, field" aria-label="filter">
            <select id="layer" aria-label="layer"><option value="">all layers</option>\(results.layers.map { "<option>\($0.name)</option>" }.joined())</select>
            <select id="state" aria-label="verdict"><option value="">all verdicts</option><option value="passed">passed</option><option value="failed">failed</option><option value="open">not run</option></select>
            <span id="shown"></span></p>
            <table id="table"><tr><th>id</th><th>layer</th><th>level</th><th>kind</th><th>verdict</th><th>what it says, and who judged it</th></tr>

            """
        for entry in results.requirements {
            let colour = HTMLReport.colour(entry.verdict)
            out +=
                "<tr class=\"r\" data-layer=\"\(entry.layer)\" data-state=\"\(colour)\"><td><code>\(Escape.xml(entry.id))</code></td><td>\(Escape.xml(entry.layer))</td>"
            out +=
                "<td>\(entry.level.rawValue)</td><td>\(entry.kind.rawValue)</td><td class=\"\(colour)\">\(entry.verdict.rawValue)</td><td>"
            if let requirement = catalogue?[entry.id] { out += "<p>\(Escape.xml(requirement.text))</p>" }
            if !entry.reason.isEmpty { out += "<p class=\"why\">\(Escape.xml(entry.reason))</p>" }
            if !entry.checks.isEmpty { out += checks(entry) }
            out += "</td></tr>\n"
        }
        return out + "</table>\n"
    }

    private func checks(_ entry: Results.RequirementEntry) -> String {
        let failing = entry.checks.contains { $0.verdict.isFailed || $0.verdict == .harnessError }
        var out =
            "<details\(failing ? " open" : "")><summary>\(Text.plural(entry.checks.count, "check"))\(Results.isCovered(entry) ? ", covered by a mutant" : "")</summary>"
        for check in entry.checks {
            out +=
                "<div><code>\(Escape.xml(check.id))</code> \(check.tier.rawValue), \(Escape.xml(check.subject.description)): <b class=\"\(HTMLReport.colour(check.verdict))\">\(check.verdict.rawValue)</b>, \(Text.plural(check.evidence.comparisons, "comparison"))"
            if !check.evidence.reason.isEmpty { out += "<br>\(Escape.xml(check.evidence.reason))" }
            for allowance in check.evidence.allowances { out += "<br>allowed: \(Escape.xml(allowance))" }
            for finding in check.evidence.findings { out += HTMLReport.finding(finding) }
            out += "</div>"
        }
        return out + "</details>"
    }

    /// Field and place, then expected over actual with the first difference marked.
    static func finding(_ finding: Finding) -> String {
        let (expected, actual) = Difference.marked(finding.expected, finding.actual)
        return
            "<div class=\"finding\"><b>\(Escape.xml(finding.field))</b> \(Escape.xml(finding.location))<pre>expected \(expected)\nactual   \(actual)</pre></div>"
    }

    static func colour(_ verdict: Verdict) -> String { verdict.isPassed ? "passed" : verdict.isFailed ? "failed" : "open" }

    private static let style = """
        body{font:15px/1.45 system-ui,sans-serif;margin:1.5rem auto;max-width:78rem;padding:0 1rem;color:#1c1c1c;background:#fff}
        h1{font-size:1.4rem;margin:0}h2{font-size:1.1rem;margin-top:2rem}.score{font-size:2.2rem}
        table{border-collapse:collapse;width:100%}th,td{text-align:left;vertical-align:top;padding:.3rem .6rem;border-bottom:1px solid #ddd}
        th{font-weight:600;color:#555}td p{margin:0 0 .3rem}.why{color:#8a2a1d}.all td{font-weight:600}
        .passed{color:#1f6f2b}.failed{color:#b3261e}.open{color:#8a6100}
        .bar{width:10rem;min-width:6rem}.bar i{display:inline-block;height:.8rem}.bar .p{background:#2e7d32}.bar .f{background:#c0392b}
        pre{white-space:pre-wrap;word-break:break-all;background:#f5f5f5;padding:.5rem;margin:.2rem 0}mark{background:#ffd54f}
        .filters{display:flex;gap:.6rem;flex-wrap:wrap;align-items:center}input,select{font:inherit;padding:.25rem .4rem}input{min-width:18rem}
        code{font-size:.92em}details div{margin:.3rem 0 .3rem 1rem}.finding{border-left:3px solid #c0392b;padding-left:.6rem}
        @media(prefers-color-scheme:dark){body{background:#161616;color:#e8e8e8}th{color:#aaa}th,td{border-color:#333}pre{background:#222}mark{background:#7a5c00;color:#fff}
        .passed{color:#7bd88a}.failed{color:#ff8a80}.open{color:#e6c35c}.why{color:#ffab91}a{color:#8ab4f8}}
        """

    private static let script = """
        const q=document.getElementById('q'),l=document.getElementById('layer'),s=document.getElementById('state'),rows=[...document.querySelectorAll('tr.r')];
        function show(){const t=q.value.toLowerCase();let n=0;for(const r of rows){const ok=(!l.value||r.dataset.layer===l.value)&&(!s.value||r.dataset.state===s.value)&&(!t||r.textContent.toLowerCase().includes(t));
        r.hidden=!ok;if(ok)n++}document.getElementById('shown').textContent=n+' of '+rows.length}
        for(const e of [q,l,s])e.addEventListener('input',show);
        for(const a of document.querySelectorAll('a[data-layer]'))a.addEventListener('click',()=>{l.value=a.dataset.layer;show()});show();
        """
}
