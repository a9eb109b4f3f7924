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
            <style>\(PageStyle.css)</style></head><body>
            <header><h1>Hyperswarm wire conformance</h1>
            <p><b class="score">\(Text.score(results.score))</b> of 100 &nbsp; coverage \(Text.percent(results.coverage))</p>
            <p class="dim">\(Escape.xml(results.implementation.name)) \(Escape.xml(results.implementation.version)), held against bytes that Node.js made. Corpus <code>\(Escape.xml(String(results.corpusDigest.prefix(16))))</code>, tool \(Escape.xml(results.toolVersion)), seed \(results.seed), score version \(Results.scoreVersion).</p></header><main>

            """
        page += layers
        page += summary
        page += requirements
        page += "</main><script>\(HTMLReport.script)</script></body></html>\n"
        return page
    }

    private var layers: String {
        var out =
            "<h2>Layers</h2><div class=\"wide\"><table><thead><tr><th scope=\"col\">layer</th>"
        for name in ["requirements", "passed", "failed", "not run", "score", "coverage"] {
            out += "<th scope=\"col\" class=\"n\">\(name)</th>"
        }
        out += "<th scope=\"col\" class=\"bar\">passed, failed</th></tr></thead><tbody>\n"
        for layer in results.layers {
            let c = layer.counts
            func share(_ n: Int) -> Int { c.total == 0 ? 0 : n * 100 / c.total }
            out +=
                "<tr><td><a href=\"#requirements\" data-layer=\"\(layer.name)\">\(layer.name)</a></td>\(HTMLReport.numbers(c, score: layer.score, coverage: layer.coverage))"
            out +=
                "<td class=\"bar\"><span role=\"img\" aria-label=\"\(share(c.passed)) % passed, \(share(c.failed)) % failed\"><i class=\"p\" style=\"width:\(share(c.passed))%\"></i><i class=\"f\" style=\"width:\(share(c.failed))%\"></i></span></td></tr>\n"
        }
        let c = results.counts
        out +=
            "<tr class=\"all\"><td>all</td>\(HTMLReport.numbers(c, score: results.score, coverage: results.coverage))<td></td></tr></tbody></table></div>\n"
        return out
    }

    private static func numbers(_ counts: Results.Counts, score: Double?, coverage: Double?) -> String {
        ["\(counts.total)", "\(counts.passed)", "\(counts.failed)", "\(counts.notRun)", Text.score(score), Text.percent(coverage)]
            .map { "<td class=\"n\">\($0)</td>" }.joined()
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
                "<details><summary>\(Text.plural(results.bundles.count, "recording"))</summary><div class=\"wide\"><table><thead><tr><th scope=\"col\">recording</th><th scope=\"col\" class=\"n\">packets</th><th scope=\"col\" class=\"n\">unexplained</th><th scope=\"col\">verdict</th></tr></thead><tbody>\n"
            for bundle in results.bundles {
                out +=
                    "<tr><td>\(Escape.xml(bundle.name))</td><td class=\"n\">\(bundle.packets)</td><td class=\"n\">\(bundle.unexplained)</td><td class=\"\(HTMLReport.colour(bundle.verdict))\">\(bundle.verdict.rawValue)</td></tr>\n"
            }
            out += "</tbody></table></div></details>\n"
        }
        return out
    }

    private var requirements: String {
        var out = """
            <h2 id="requirements">Requirements</h2>
            <p class="filters"><input id="q" type="search" placeholder="filter by id, text, check, field" aria-label="filter">
            <select id="layer" aria-label="layer"><option value="">all layers</option>\(results.layers.map { "<option>\($0.name)</option>" }.joined())</select>
            <select id="state" aria-label="verdict"><option value="">all verdicts</option><option value="passed">passed</option><option value="failed">failed</option><option value="open">not run</option></select>
            <span id="shown" role="status"></span></p>
            <table id="table"><thead><tr><th scope="col">id</th><th scope="col">layer</th><th scope="col">level</th><th scope="col">kind</th><th scope="col">verdict</th><th scope="col">what it says, and who judged it</th></tr></thead><tbody>

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
        return out + "</tbody></table>\n"
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

    private static let script = """
        const q=document.getElementById('q'),l=document.getElementById('layer'),s=document.getElementById('state'),rows=[...document.querySelectorAll('tr.r')];
        function show(){const t=q.value.toLowerCase();let n=0;for(const r of rows){const ok=(!l.value||r.dataset.layer===l.value)&&(!s.value||r.dataset.state===s.value)&&(!t||r.textContent.toLowerCase().includes(t));
        r.hidden=!ok;if(ok)n++}document.getElementById('shown').textContent=n+' of '+rows.length}
        for(const e of [q,l,s])e.addEventListener('input',show);
        for(const a of document.querySelectorAll('a[data-layer]'))a.addEventListener('click',()=>{l.value=a.dataset.layer;show()});show();
        """
}
