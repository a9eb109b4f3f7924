/// An IP address, IPv4 or IPv6.
public enum IPAddress: Hashable, Sendable {
    /// The four octets in printed order, the first in the most significant byte.
    case v4(UInt32)
    /// The sixteen octets in network order, in two halves.
    case v6(UInt64, UInt64)

    /// 127.0.0.1
    public static let loopback = IPAddress.v4(0x7f00_0001)
    /// 0.0.0.0
    public static let any = IPAddress.v4(0)

    /// Parses a dotted quad ("10.1.1.1") or an IPv6 text ("fe80::1", "::ffff:10.0.0.1"); nil for anything else.
    public init?(_ text: some StringProtocol) {
        if let four = IPAddress.parseV4(text) {
            self = .v4(four)
        } else if let six = IPAddress.parseV6(text) {
            self = six
        } else {
            return nil
        }
    }

    /// The IPv4 address inside an IPv4-mapped IPv6 address, or the address itself.
    public var unmapped: IPAddress {
        if case .v6(0, let low) = self, low >> 32 == 0xffff { return .v4(UInt32(truncatingIfNeeded: low)) }
        return self
    }

    /// One word for an IPv4 address: tables by address are asked for every datagram.
    @inlinable public func hash(into hasher: inout Hasher) {
        switch self {
        case .v4(let value): hasher.combine(UInt64(value))
        case .v6(let high, let low):
            hasher.combine(high)
            hasher.combine(low)
        }
    }

    @inlinable public static func == (a: IPAddress, b: IPAddress) -> Bool {
        switch (a, b) {
        case (.v4(let x), .v4(let y)): x == y
        case (.v6(let ah, let al), .v6(let bh, let bl)): ah == bh && al == bl
        default: false
        }
    }

    public var isIPv4: Bool { if case .v4 = self { true } else { false } }

    /// 4 or 16 octets in printed (network) order.
    public var octets: [UInt8] {
        switch self {
        case .v4(let value): (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) }
        case .v6(let high, let low):
            (0..<8).map { UInt8(truncatingIfNeeded: high >> (56 - 8 * $0)) }
                + (0..<8).map { UInt8(truncatingIfNeeded: low >> (56 - 8 * $0)) }
        }
    }

    private static func parseV4(_ text: some StringProtocol) -> UInt32? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (48...57).contains($0) }), let octet = UInt8(part) else {
                return nil
            }
            value = value << 8 | UInt32(octet)
        }
        return value
    }

    private static func parseV6(_ text: some StringProtocol) -> IPAddress? {
        guard text.contains(":") else { return nil }
        let halves = splitOnDoubleColon(String(text))
        guard halves.count <= 2 else { return nil }
        // A dotted quad may only be the end of all.
        func groups(_ half: String, isLast: Bool) -> [UInt16]? {
            if half.isEmpty { return [] }
            var result: [UInt16] = []
            let parts = half.split(separator: ":", omittingEmptySubsequences: false)
            for (index, part) in parts.enumerated() {
                if isLast, index == parts.count - 1, part.contains("."), let four = parseV4(part) {
                    result.append(UInt16(truncatingIfNeeded: four >> 16))
                    result.append(UInt16(truncatingIfNeeded: four))
                } else {
                    guard (1...4).contains(part.utf8.count), part.first != "+", let group = UInt16(part, radix: 16) else { return nil }
                    result.append(group)
                }
            }
            return result
        }
        guard let front = groups(halves[0], isLast: halves.count == 1) else { return nil }
        var all = front
        if halves.count == 2 {
            guard let back = groups(halves[1], isLast: true), front.count + back.count < 8 else { return nil }
            all += [UInt16](repeating: 0, count: 8 - front.count - back.count) + back
        }
        guard all.count == 8 else { return nil }
        let high = all[..<4].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        let low = all[4...].reduce(UInt64(0)) { $0 << 16 | UInt64($1) }
        return .v6(high, low)
    }

    private static func splitOnDoubleColon(_ text: String) -> [String] {
        var halves = [""]
        var rest = Substring(text)
        while let character = rest.first {
            if rest.hasPrefix("::") {
                halves.append("")
                rest = rest.dropFirst(2)
            } else {
                halves[halves.count - 1].append(character)
                rest = rest.dropFirst()
            }
        }
        return halves
    }
}

extension IPAddress: CustomStringConvertible {
    /// A dotted quad, or eight hexadecimal groups without leading zeros and without `::` (the form of the vectors).
    public var description: String {
        switch self {
        case .v4(let value):
            "\(value >> 24).\(value >> 16 & 255).\(value >> 8 & 255).\(value & 255)"
        case .v6(let high, let low):
            [high >> 48, high >> 32, high >> 16, high, low >> 48, low >> 32, low >> 16, low]
                .map { String($0 & 0xffff, radix: 16) }.joined(separator: ":")
        }
    }
}

extension IPAddress: Comparable {
    /// IPv4 before IPv6, then by octets: a total order for reports and deterministic iteration.
    public static func < (a: IPAddress, b: IPAddress) -> Bool {
        switch (a, b) {
        case (.v4(let x), .v4(let y)): x < y
        case (.v4, .v6): true
        case (.v6, .v4): false
        case (.v6(let ah, let al), .v6(let bh, let bl)): (ah, al) < (bh, bl)
        }
    }
}
