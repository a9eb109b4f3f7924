import CompactEncoding
import HyperCrypto
import SansIO

/// Issues and checks the 32-byte tokens that prove that a requester receives at its host. dht-rpc.md section 3.7.
public struct RoundTripTokens: Sendable {
    /// `secrets[1]` issues, both are accepted; nil until the first use.
    private var older: Bytes32?
    private var current: Bytes32?
    private var drains = 0
    /// What was issued to the hosts that asked last, by the low bits of their address: most ask again within a token's life.
    private var recent: [(host: IPAddress, token: Bytes32)?] = []
    private static let remembered = 16

    /// Rotations happen every this many drains of 750 ms: 7.5 s.
    static let drainsPerRotation = 10

    public init() {}

    /// Both secrets, the older first, once they are there.
    public var known: [Bytes32]? {
        guard let older, let current else { return nil }
        return [older, current]
    }

    /// Starts with given secrets (replay, golden exchanges).
    public init(secrets older: Bytes32, _ current: Bytes32) {
        self.older = older
        self.current = current
    }

    /// BLAKE2b-256 keyed with the secret over the host as a dotted quad; the port does not matter. DHT-27, DHT-29.
    public static func token(for host: IPAddress, secret: Bytes32) -> Bytes32 {
        if Mutation.dhtRPC(29).isActive { return Blake2b.hash256([], key: secret.bytes) }
        return Blake2b.hash256(text(host), key: secret.bytes)
    }

    private static func text(_ host: IPAddress) -> [UInt8] {
        guard case .v4(let address) = host else { return Array(host.description.utf8) }
        var text: [UInt8] = []
        text.reserveCapacity(15)
        for shift in [24, 16, 8, 0] as [UInt32] {
            let octet = UInt8(truncatingIfNeeded: address >> shift)
            if octet >= 100 { text.append(48 + octet / 100) }
            if octet >= 10 { text.append(48 + octet / 10 % 10) }
            text.append(48 + octet % 10)
            if shift > 0 { text.append(46) }
        }
        return text
    }

    /// A fresh token for a requester. DHT-26.
    public mutating func issue(for endpoint: Endpoint, _ entropy: any Entropy) -> Bytes32 {
        guard case .v4(let address) = endpoint.address, !Mutation.isAnyActive else {
            return RoundTripTokens.token(for: endpoint.address, secret: secrets(entropy).current, port: endpoint.port)
        }
        let place = Int(address % UInt32(RoundTripTokens.remembered))
        if place < recent.count, let known = recent[place], known.host == endpoint.address { return known.token }
        let token = RoundTripTokens.token(for: endpoint.address, secret: secrets(entropy).current, port: endpoint.port)
        if recent.isEmpty { recent = Array(repeating: nil, count: RoundTripTokens.remembered) }
        recent[place] = (endpoint.address, token)
        return token
    }

    /// True for a token issued in this period or the one before it. DHT-26, DHT-28.
    public mutating func accepts(_ token: Bytes32, from endpoint: Endpoint, _ entropy: any Entropy) -> Bool {
        if Mutation.dhtRPC(26).isActive { return true }
        let (older, current) = secrets(entropy)
        let given = token.bytes
        let fresh = RoundTripTokens.token(for: endpoint.address, secret: current, port: endpoint.port)
        if Sodium.equal(given, fresh.bytes) { return true }
        let aged = RoundTripTokens.token(for: endpoint.address, secret: older, port: endpoint.port)
        return Sodium.equal(given, aged.bytes)
    }

    /// Called on each drain of the congestion window; every tenth replaces the older secret. DHT-28.
    public mutating func drained() {
        guard current != nil else { return }
        drains += 1
        if drains >= RoundTripTokens.drainsPerRotation {
            drains = 0
            rotate()
        }
    }

    mutating func rotate() {
        guard let old = older, let now = current, !Mutation.dhtRPC(28).isActive else { return }
        older = now
        current = Blake2b.hash256(old.bytes)
        recent = []
    }

    private static func token(for host: IPAddress, secret: Bytes32, port: UInt16) -> Bytes32 {
        if Mutation.dhtRPC(27).isActive { return Blake2b.hash256(Array("\(host):\(port)".utf8), key: secret.bytes) }
        return token(for: host, secret: secret)
    }

    private mutating func secrets(_ entropy: any Entropy) -> (older: Bytes32, current: Bytes32) {
        if let older, let current { return (older, current) }
        let first = Bytes32(entropy.bytes(32, for: EntropyLabel(.tokenSecret, 0))) ?? .zero
        let second = Bytes32(entropy.bytes(32, for: EntropyLabel(.tokenSecret, 1))) ?? .zero
        older = first
        current = second
        return (first, second)
    }
}
