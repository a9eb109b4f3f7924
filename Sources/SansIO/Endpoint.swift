/// A UDP or TCP address: IP address and port.
public struct Endpoint: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var address: IPAddress
    public var port: UInt16

    @inlinable public init(_ address: IPAddress, _ port: UInt16) {
        self.address = address
        self.port = port
    }

    @inlinable public func hash(into hasher: inout Hasher) {
        switch address {
        case .v4(let host): hasher.combine(UInt64(host) << 16 | UInt64(port))
        case .v6(let high, let low):
            hasher.combine(high)
            hasher.combine(low)
            hasher.combine(port)
        }
    }

    /// 127.0.0.1 and a port.
    @inlinable public static func loopback(_ port: UInt16) -> Endpoint { Endpoint(.loopback, port) }

    /// Reads "10.0.0.1:80" or "[::1]:80"; nil for anything else, names included.
    public init?(_ text: some StringProtocol) {
        guard let colon = text.lastIndex(of: ":"), let port = Endpoint.port(text[text.index(after: colon)...]) else { return nil }
        let host = text[..<colon]
        if host.first == "[", host.last == "]" {
            guard let address = IPAddress(host.dropFirst().dropLast()), !address.isIPv4 else { return nil }
            self.init(address, port)
        } else {
            guard let address = IPAddress(host), address.isIPv4 else { return nil }
            self.init(address, port)
        }
    }

    /// Digits only: a sign would pass for a number.
    private static func port(_ text: some StringProtocol) -> UInt16? {
        text.utf8.allSatisfy { (48...57).contains($0) } ? UInt16(text) : nil
    }

    public var description: String {
        switch address {
        case .v4: "\(address):\(port)"
        case .v6: "[\(address)]:\(port)"
        }
    }

    public static func < (a: Endpoint, b: Endpoint) -> Bool { a.address == b.address ? a.port < b.port : a.address < b.address }
}
