import CompactEncoding
import HyperCrypto
import SansIO

/// Issues and checks the 32-byte tokens that prove that a requester receives at its host. dht-rpc.md section 3.7.
public struct RoundTripTokens: Sendable {
    /// `secrets[1]` issues, both are accepted; nil until the first use.
    private var older: Bytes32?
    private var current: Bytes32?
    private var drains = 0

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
        return Blake2b.hash256(Array(host.description.utf8), key: secret.bytes)
    }

    /// A fresh token for a requester. DHT-26.
    public mutating func issue(for endpoint: Endpoint, _ entropy: any Entropy) -> Bytes32 {
        RoundTripTokens.token(for: endpoint.address, secret: secrets(entropy).current, port: endpoint.port)
    }

    /// True for a token issued in this period or the one before it. DHT-26, DHT-28.
    public mutating func accepts(_ token: Bytes32, from endpoint: Endpoint, _ entropy: any Entropy) -> Bool {
        if Mutation.dhtRPC(26).isActive { return true }
        let (older, current) = secrets(entropy)
        let given = token.bytes
        let fresh = RoundTripTokens.token(for: endpoint.address, secret: current, port: endpoint.port)
        let aged = RoundTripTokens.token(for: endpoint.address, secret: older, port: endpoint.port)
        return Sodium.equal(given, fresh.bytes) || Sodium.equal(given, aged.bytes)
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
