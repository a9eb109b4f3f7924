import CompactEncoding
import SansIO
import SecretStream
import UDX

/// Links that others pair through this node.
struct RelayTable {}

extension HyperDHTNode {
    func startServerRelay(_ server: Server, _ handshake: ServerHandshake, ours: Bytes32?) {}
    func startClientRelay(_ attempt: ConnectAttempt, _ payload: NoisePayload) {}
    func relayTimedOut(_ owner: RelayOwner) {}
    func relayConnectionOpened(_ connection: Connection) {}
    func relayConnectionClosed(_ owner: RelayOwner, _ connection: Connection) {}
    func serveRelay(_ connection: Connection) {}
    func relayChannelTook(_ connection: Connection, _ event: SecretStream.Event) -> Bool { false }
    func relayChannelClosed(_ connection: Connection) {}
    func relayStreamClosed(_ stream: StreamID) {}
    func endRelay(_ connection: Connection) {}
    func destroyRelay(_ connection: Connection) {}
    func isRelayPath(_ connection: Connection, _ source: Endpoint, _ socket: SocketID) -> Bool { false }
}
