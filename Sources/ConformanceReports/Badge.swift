import Conformance

/// A small picture for a README: the score, or that something failed.
public struct Badge {
    public let results: Results

    public init(_ results: Results) { self.results = results }

    public var text: String {
        let counts = results.counts
        let label = "hyperswarm wire"
        let value = counts.failed > 0 ? "\(Text.score(results.score)), \(counts.failed) failed" : Text.score(results.score)
        let colour = counts.failed > 0 ? "#c0392b" : counts.notRun > 0 ? "#b8860b" : "#2e7d32"
        // About seven units a character in the face named below.
        let left = label.count * 7 + 10
        let right = value.count * 7 + 10
        return """
            <svg xmlns="http://www.w3.org/2000/svg" width="\(left + right)" height="20" role="img" aria-label="\(Escape.xml(label)): \(Escape.xml(value))">
            <title>\(Escape.xml(label)): \(Escape.xml(value))</title>
            <rect width="\(left)" height="20" fill="#444"/><rect x="\(left)" width="\(right)" height="20" fill="\(colour)"/>
            <g fill="#fff" text-anchor="middle" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">
            <text x="\(left / 2)" y="14">\(Escape.xml(label))</text><text x="\(left + right / 2)" y="14">\(Escape.xml(value))</text>
            </g></svg>

            """
    }
}
