/// Rows in columns: the first to the left, the others to the right.
struct Table {
    private var rows: [[String]]

    init(_ header: String...) { rows = [header] }

    mutating func add(_ cells: String...) { rows.append(cells) }

    func show() {
        let widths = (0..<(rows.map(\.count).max() ?? 0)).map { column in rows.map { column < $0.count ? $0[column].count : 0 }.max() ?? 0 }
        for row in rows {
            var line = ""
            for (column, cell) in row.enumerated() {
                let padding = String(repeating: " ", count: widths[column] - cell.count)
                line += column == 0 ? cell + padding : "  " + padding + cell
            }
            print(line)
        }
    }
}

/// A number with that many digits after the point.
func text(_ value: Double, _ digits: Int = 0) -> String {
    guard value.isFinite else { return "-" }
    var scale = 1.0
    for _ in 0..<digits { scale *= 10 }
    let scaled = (abs(value) * scale).rounded()
    let whole = Int(min(scaled / scale, 1e15))
    let sign = value < 0 ? "-" : ""
    if digits == 0 { return sign + "\(Int(min(scaled, 1e15)))" }
    let rest = String(Int(scaled - Double(whole) * scale))
    return sign + "\(whole)." + String(repeating: "0", count: max(0, digits - rest.count)) + rest
}
