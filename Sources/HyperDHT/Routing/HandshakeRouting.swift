import CompactEncoding
import SansIO

/// What a node does with a PEER_HANDSHAKE or PEER_HOLEPUNCH message. hyperdht.md sections 6.1 and 9.
public enum RoutingAction: Hashable, Sendable {
    case silence
    /// An ordinary OK reply without value and token: closer nodes help the asker on.
    case closerNodes
    /// The same tid, command and target with this value, to that address.
    case relay(value: [UInt8], to: Endpoint)
    /// A response with this value, without token and closer nodes; to the request's source, or to `to`.
    case reply(value: [UInt8], to: Endpoint?)
    /// A server of ours decides; `answer` says where its answer goes.
    case handshake(server: UInt64, noise: [UInt8], peerAddress: Endpoint?, answer: AnswerPath)
    case holepunch(server: UInt64, id: UInt64, payload: [UInt8], peerAddress: Endpoint)

    /// Where a server's handshake answer goes.
    public enum AnswerPath: Hashable, Sendable {
        /// A response to the request's source.
        case reply
        /// FROM_SERVER to this address, with the client's address as it was received.
        case relay(to: Endpoint, peerAddress: Endpoint?)
        /// Nothing is sent.
        case nowhere
    }
}

/// The rules of the two relayed commands, as functions of the request and the route. hyperdht.md sections 6.1 and 9.
public enum MessageRouting {
    /// PEER_HANDSHAKE. `value` is the request's, `route` what this node knows of the target (nil without target).
    public static func handshake(value: [UInt8]?, from: Endpoint, route: Route?) -> RoutingAction {
        guard let value, let message = try? HandshakeMessage(decoding: value) else {
            /// HDHT-35. What can't be decoded gets silence.
            return Mutation.hyperDHT(35).isActive ? .closerNodes : .silence
        }
        // An empty Noise message is as good as none: dht-rpc.md section 1.
        guard !message.noise.isEmpty else { return .silence }
        if case .server(let server) = route?.destination { return handshake(message, from: from, server: server) }
        var relay: Endpoint?
        if case .relay(let address) = route?.destination { relay = address }
        switch message.mode {
        case .fromClient:
            /// HDHT-34, HDHT-36.
            guard let next = message.relayAddress ?? relay else { return Mutation.hyperDHT(34).isActive ? .silence : .closerNodes }
            let peerAddress = Mutation.hyperDHT(36).isActive ? nil : from
            return pass(.fromRelay, message.noise, peerAddress: peerAddress, to: next)
        case .fromRelay:
            /// HDHT-38.
            guard let relay else { return .silence }
            return pass(
                .fromSecondRelay, message.noise, peerAddress: message.peerAddress,
                relayAddress: Mutation.hyperDHT(38).isActive ? nil : from, to: relay)
        case .fromServer:
            /// HDHT-37, HDHT-39.
            guard let peerAddress = message.peerAddress ?? (Mutation.hyperDHT(39).isActive ? from : nil) else { return .silence }
            let server = Mutation.hyperDHT(37).isActive ? peerAddress : from
            return .reply(value: HandshakeMessage(mode: .reply, noise: message.noise, peerAddress: server).encoded, to: peerAddress)
        default:
            return .silence
        }
    }

    private static func pass(
        _ mode: RelayMode, _ noise: [UInt8], peerAddress: Endpoint?, relayAddress: Endpoint? = nil, to: Endpoint
    ) -> RoutingAction {
        let message = HandshakeMessage(mode: mode, noise: noise, peerAddress: peerAddress, relayAddress: relayAddress)
        return AddressClass.isRelayTarget(to) ? .relay(value: message.encoded, to: to) : .silence
    }

    /// The first four rows of the table: this node serves the target. HDHT-45.
    private static func handshake(_ message: HandshakeMessage, from: Endpoint, server: UInt64) -> RoutingAction {
        let path: RoutingAction.AnswerPath
        switch message.mode {
        case .fromClient: path = .reply
        case .fromRelay: path = .relay(to: from, peerAddress: message.peerAddress)
        case .fromSecondRelay:
            let to = Mutation.hyperDHT(45).isActive ? from : message.relayAddress
            path = to.map { .relay(to: $0, peerAddress: message.peerAddress) } ?? .nowhere
        default: path = .nowhere
        }
        return .handshake(server: server, noise: message.noise, peerAddress: message.peerAddress, answer: path)
    }

    /// PEER_HOLEPUNCH. HDHT-47 to HDHT-49.
    public static func holepunch(value: [UInt8]?, from: Endpoint, route: Route?) -> RoutingAction {
        guard let value, let message = try? HolepunchMessage(decoding: value) else { return .silence }
        switch message.mode {
        case .fromClient:
            var relay: Endpoint?
            if case .relay(let address) = route?.destination { relay = address }
            guard let next = Mutation.hyperDHT(47).isActive ? relay : message.peerAddress ?? relay, AddressClass.isRelayTarget(next) else {
                return .silence
            }
            let passed = HolepunchMessage(mode: .fromRelay, id: message.id, payload: message.payload, peerAddress: from)
            return .relay(value: passed.encoded, to: next)
        case .fromRelay:
            guard case .server(let server) = route?.destination, let peerAddress = message.peerAddress else {
                return Mutation.hyperDHT(48).isActive ? .closerNodes : .silence
            }
            return .holepunch(server: server, id: message.id, payload: message.payload, peerAddress: peerAddress)
        case .fromServer:
            let passed = HolepunchMessage(
                mode: .reply, id: message.id, payload: message.payload, peerAddress: Mutation.hyperDHT(49).isActive ? nil : from)
            return .reply(value: passed.encoded, to: message.peerAddress)
        default:
            return .silence
        }
    }
}
