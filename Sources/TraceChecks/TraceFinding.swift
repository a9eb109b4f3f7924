/// A packet that breaks a rule: which rule, which packet, which field, what is wrong.
public struct TraceFinding: Sendable, Hashable, CustomStringConvertible {
    /// "udx.seq", "dht-rpc.to"...
    public let rule: String
    /// Number of the packet in the capture; 0 if the rule speaks of the whole capture.
    public let packet: Int
    /// Layer and field.
    public let field: String
    /// Offset in the packet's payload, where one byte can be pointed at.
    public let offset: Int?
    public let message: String

    public var description: String {
        "packet \(packet), \(field)" + (offset.map { ", byte \($0)" } ?? "") + ": \(message) (\(rule))"
    }
}

/// What the rules found in one capture, and how many comparisons each made.
public struct TraceReport: Sendable {
    public private(set) var findings: [TraceFinding] = []
    public private(set) var comparisons: [String: Int] = [:]

    public init() {}

    /// One comparison; a finding if it does not hold.
    mutating func check(
        _ rule: String, _ condition: Bool, _ packet: Int, _ field: String, _ offset: Int? = nil, _ message: @autoclosure () -> String
    ) {
        comparisons[rule, default: 0] += 1
        if !condition { add(rule, packet, field, offset, message()) }
    }

    mutating func add(_ rule: String, _ packet: Int, _ field: String, _ offset: Int? = nil, _ message: String) {
        findings.append(TraceFinding(rule: rule, packet: packet, field: field, offset: offset, message: message))
    }

    mutating func count(_ rule: String, _ number: Int) { comparisons[rule, default: 0] += number }
}
