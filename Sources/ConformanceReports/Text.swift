/// Small helpers for text that people read.
enum Text {
    static func padded(_ text: String, _ width: Int) -> String {
        text.count >= width ? text : text + String(repeating: " ", count: width - text.count)
    }

    static func right(_ text: String, _ width: Int) -> String {
        text.count >= width ? text : String(repeating: " ", count: width - text.count) + text
    }

    /// At most `width` characters; the middle of longer texts is left out.
    static func shortened(_ text: String, _ width: Int = 96) -> String {
        guard text.count > width, width > 16 else { return text }
        let tail = width / 4
        return "\(text.prefix(width - tail - 3))...\(text.suffix(tail))"
    }

    /// Words broken into lines, each begun with `indent` spaces.
    static func wrapped(_ text: String, indent: Int, width: Int = 100) -> String {
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, indent + line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += (line.isEmpty ? "" : " ") + word
        }
        if !line.isEmpty { lines.append(line) }
        return lines.map { String(repeating: " ", count: indent) + $0 }.joined(separator: "\n")
    }

    static func plural(_ count: Int, _ one: String, _ many: String? = nil) -> String {
        "\(count) \(count == 1 ? one : many ?? one + "s")"
    }

    /// Two decimals, or a dash.
    static func score(_ value: Double?) -> String {
        guard let value else { return "-" }
        let hundredths = Int((value * 100).rounded())
        let rest = hundredths % 100
        return rest == 0 ? "\(hundredths / 100)" : "\(hundredths / 100).\(rest < 10 ? "0" : "")\(rest)"
    }

    static func percent(_ value: Double?) -> String { value.map { "\(score($0 * 100)) %" } ?? "-" }
}

/// Colours of a terminal, or none.
struct Palette {
    let on: Bool
    func green(_ text: String) -> String { on ? "\u{1b}[32m\(text)\u{1b}[0m" : text }
    func red(_ text: String) -> String { on ? "\u{1b}[31m\(text)\u{1b}[0m" : text }
    func yellow(_ text: String) -> String { on ? "\u{1b}[33m\(text)\u{1b}[0m" : text }
    func bold(_ text: String) -> String { on ? "\u{1b}[1m\(text)\u{1b}[0m" : text }
    func dim(_ text: String) -> String { on ? "\u{1b}[2m\(text)\u{1b}[0m" : text }
}
