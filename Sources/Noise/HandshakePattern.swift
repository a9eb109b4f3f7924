/// The handshake patterns in use: IK on every Hyperswarm connection, XX for a stand-alone secret stream. noise.md section 7.
public enum HandshakePattern: String, Sendable, CaseIterable {
    case ik = "IK"
    case xx = "XX"
    case nn = "NN"

    enum Token: String {
        case e, s, ee, es, se, ss
    }

    /// Tokens of each message; the initiator sends the first, third, ...
    var messages: [[Token]] {
        switch self {
        case .ik: [[.e, .es, .s, .ss], [.e, .ee, .se]]
        case .xx: [[.e], [.e, .ee, .s, .es], [.s, .se]]
        case .nn: [[.e], [.e, .ee]]
        }
    }

    public var messageCount: Int { messages.count }

    /// Whether both sides know the responder's static key before the first message.
    public var hasKnownResponder: Bool { self == .ik }

    /// The 35 ASCII bytes that open the transcript. NOISE-25.
    public var protocolName: String { "Noise_\(rawValue)_Ed25519_ChaChaPoly_BLAKE2b" }

    /// Whether message `index` carries an ephemeral key, a static key, and whether its payload is encrypted.
    public func shape(of index: Int) -> (hasEphemeral: Bool, hasStatic: Bool, isPayloadEncrypted: Bool) {
        guard messages.indices.contains(index) else { return (false, false, false) }
        let tokens = messages[index]
        let keyed = messages[...index].joined().contains { $0 != .e && $0 != .s }
        return (tokens.contains(.e), tokens.contains(.s), keyed)
    }
}
