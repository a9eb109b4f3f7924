import Foundation

extension Terminal {
    /// Columns of the terminal that standard output goes to; nil where it goes elsewhere, and lines stay whole for other programs.
    static var width: Int? {
        guard isTerminal(STDOUT_FILENO) else { return nil }
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col >= 40 else { return nil }
        return Int(size.ws_col)
    }

    /// Text for people, on standard output: on a terminal no line is broken within a word.
    static func show(_ text: String) {
        // What `print` has buffered comes first.
        fflush(nil)
        FileHandle.standardOutput.write(Data(fit(text, width).utf8))
    }

    /// Breaks lines that are too long at spaces. What follows stands under the line's last column, or two columns further in than its beginning.
    static func fit(_ text: String, _ width: Int?) -> String {
        guard let width else { return text }
        return text.split(separator: "\n", omittingEmptySubsequences: false).map { fit(line: $0, width) }.joined(separator: "\n")
    }

    private static func fit(line: Substring, _ width: Int) -> String {
        guard visible(line) > width else { return String(line) }
        let indent = line.prefix { $0 == " " }.count
        let column = hanging(line, width)
        var result = ""
        var current = String(line.prefix { $0 == " " })
        var isEmpty = true
        for word in line.drop(while: { $0 == " " }).split(separator: " ", omittingEmptySubsequences: false) {
            if !isEmpty, visible(current[...]) + 1 + visible(word) > width {
                result += trimmed(current) + "\n"
                // A hash that is too long for the column stands as far in as it fits.
                current = String(repeating: " ", count: min(column, max(indent + 2, width - visible(word))))
                isEmpty = true
                // Spaces at which a line was broken are gone.
                if word.isEmpty { continue }
            }
            current += (isEmpty ? "" : " ") + word
            isEmpty = false
        }
        return result + current
    }

    private static func trimmed(_ text: String) -> String { String(text.reversed().drop { $0 == " " }.reversed()) }

    /// Where the last column of a table's line begins, if that leaves thirty columns; else a little more than the indent.
    private static func hanging(_ line: Substring, _ width: Int) -> Int {
        let indent = line.prefix { $0 == " " }.count
        var column = 0
        var spaces = 0
        var found = indent + 2
        var isInside = false
        for (character, isVisible) in characters(line) where isVisible {
            if character == " " {
                spaces += 1
            } else {
                if isInside, spaces >= 2, column <= width - 30 { found = column }
                isInside = true
                spaces = 0
            }
            column += 1
        }
        return min(found, width - 30)
    }

    /// Characters without those of colour sequences.
    private static func visible(_ text: Substring) -> Int { characters(text).reduce(0) { $0 + ($1.isVisible ? 1 : 0) } }

    private static func characters(_ text: Substring) -> [(character: Character, isVisible: Bool)] {
        var isEscape = false
        return text.map { character in
            if character == "\u{1b}" { isEscape = true }
            defer { if isEscape, character == "m" { isEscape = false } }
            return (character, !isEscape)
        }
    }
}
