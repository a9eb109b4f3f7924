/// Two texts with what differs between their common ends marked, as HTML.
enum Difference {
    static func marked(_ a: String, _ b: String) -> (String, String) {
        let x = Array(a)
        let y = Array(b)
        var start = 0
        while start < x.count, start < y.count, x[start] == y[start] { start += 1 }
        var end = 0
        while end < x.count - start, end < y.count - start, x[x.count - 1 - end] == y[y.count - 1 - end] { end += 1 }
        return (mark(x, start, end), mark(y, start, end))
    }

    private static func mark(_ text: [Character], _ start: Int, _ end: Int) -> String {
        let middle = String(text[start..<text.count - end])
        return Escape.xml(String(text[..<start])) + (middle.isEmpty ? "" : "<mark>\(Escape.xml(middle))</mark>")
            + Escape.xml(String(text[(text.count - end)...]))
    }
}
