import Conformance

/// The comparison side by side, in one page that loads nothing.
public struct DiffHTML {
    public let diff: CaptureDiff

    public init(_ diff: CaptureDiff) { self.diff = diff }

    public var text: String {
        let title = "\(Escape.xml(diff.nameA)) and \(Escape.xml(diff.nameB))"
        var page = """
            <!doctype html>
            <html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>\(title)</title>
            <style>\(PageStyle.css)</style></head><body><main><h1>\(title)</h1>
            <p class="lead \(diff.verdict == .deviates ? "bad" : "good")">\(diff.verdict == .deviates ? "✗" : "✓") \(Escape.xml(DiffReport(diff).headline))</p>
            <p class="dim">A is \(Escape.xml(diff.nameA)), B is \(Escape.xml(diff.nameB)): \(diff.packetsA) and \(diff.packetsB) packets, compared as \(diff.relation == .copy ? "a recording and its copy" : "two runs"); \(diff.foldedPackets) pairs without deviation are folded.</p>
            \(diff.notes.map { "<p>\(Escape.xml($0))</p>" }.joined())

            """
        var conversation: String?
        for finding in diff.findings {
            if finding.conversation != conversation {
                if conversation != nil { page += "</tbody></table></div>\n" }
                conversation = finding.conversation
                page +=
                    "<h2>\(Escape.xml(finding.conversation))</h2>\n<div class=\"wide\"><table class=\"diff\"><thead><tr><th scope=\"col\" class=\"field\">field</th><th scope=\"col\">A</th><th scope=\"col\">B</th><th scope=\"col\" class=\"rule\">rule</th></tr></thead><tbody>\n"
            }
            let (old, new) = Difference.marked(String(finding.a.prefix(4000)), String(finding.b.prefix(4000)))
            let offset = finding.offset.map { "<br>byte \($0)" } ?? ""
            page += "<tr><td><b>\(Escape.xml(finding.field))</b>\(offset)<br>\(finding.kind.rawValue)</td>"
            page +=
                "<td>\(finding.packetA.map { "packet \($0)" } ?? "")<pre>\(old)</pre></td><td>\(finding.packetB.map { "packet \($0)" } ?? "")<pre>\(new)</pre></td>"
            page += "<td>\(Escape.xml(finding.rule.description))</td></tr>\n"
        }
        if conversation != nil { page += "</tbody></table></div>\n" }
        if !diff.allowed.isEmpty {
            page +=
                "<details\(diff.findings.isEmpty ? " open" : "")><summary>Differs as declared</summary><div class=\"wide\"><table class=\"diff\"><thead><tr><th scope=\"col\" class=\"field\">field</th><th scope=\"col\">A, for instance</th><th scope=\"col\">B, for instance</th><th scope=\"col\" class=\"rule\">rule</th></tr></thead><tbody>\n"
            for item in diff.allowed {
                page +=
                    "<tr><td><b>\(Escape.xml(item.field))</b><br>\(item.count) times</td><td><pre>\(Escape.xml(Text.shortened(item.a, 96)))</pre></td><td><pre>\(Escape.xml(Text.shortened(item.b, 96)))</pre></td><td>\(Escape.xml(item.rule.description))</td></tr>\n"
            }
            page += "</tbody></table></div></details>\n"
        }
        return page + "</main></body></html>\n"
    }
}
