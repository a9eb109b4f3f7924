import CompactEncoding

/// The inputs of one target as the repository keeps them: one line of hexadecimal an input.
///
/// A line that begins with `#` is a remark on the next input: those are cases that once broke a promise, and they stay for good.
public struct FuzzCorpus: Sendable {
    /// What is wrong with a corpus file.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// Found cases, each with its remark.
    public private(set) var cases: [(remark: String, input: [UInt8])] = []
    /// The rest, shortest first.
    public private(set) var others: [[UInt8]] = []

    public init() {}

    public init(text: String) throws(Failure) {
        var remark: String?
        for (number, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
            if line.hasPrefix("#") {
                remark = (remark.map { $0 + "\n" } ?? "") + line
                continue
            }
            // An empty line is no input: the empty one is always tried.
            if line.isEmpty { continue }
            guard let input = Hex.decode(String(line)) else { throw Failure(description: "line \(number + 1) is not hexadecimal") }
            if let remark { cases.append((remark, input)) } else { others.append(input) }
            remark = nil
        }
    }

    public var inputs: [[UInt8]] { cases.map(\.input) + others }

    /// Takes these as the inputs without a remark.
    public mutating func replaceInputs(_ inputs: [[UInt8]]) {
        let known = Set(cases.map(\.input))
        others = Set(inputs).subtracting(known).filter { !$0.isEmpty }.sorted {
            $0.count == $1.count ? $0.lexicographicallyPrecedes($1) : $0.count < $1.count
        }
    }

    public var text: String {
        cases.map { "\($0.remark)\n\(Hex.encode($0.input))\n" }.joined() + others.map { Hex.encode($0) + "\n" }.joined()
    }
}
