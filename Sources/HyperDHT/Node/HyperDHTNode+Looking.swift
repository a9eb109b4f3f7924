import DHTRPC
import SansIO

/// What an owner may look at and set beside the protocol: windows, flushes, counters, addresses.
extension HyperDHTNode {
    /// How many received bytes the application has not taken yet: the peer's window shrinks by them.
    public func setHeldBytes(_ id: ConnectionID, _ count: Int) {
        guard let connection = connections[id] else { return }
        try? udx.setHeldBytes(connection.streamID, count, now: now)
        settle()
    }

    /// Asks for the event `.flushed` once all that was written so far is acknowledged. False: no such connection.
    public func flush(_ id: ConnectionID, token: UInt64) -> Bool {
        guard let connection = connections[id], !connection.isClosed else { return false }
        guard connection.isStarted, connection.secret.queuedBytes == 0 else {
            connection.flushTokens.append(token)
            return true
        }
        do { try udx.flush(connection.streamID, token: token) } catch { return false }
        settle()
        return true
    }

    /// Bytes of encrypted messages that a connection has received and sent. hyperswarm.md section 8.
    public func traffic(of id: ConnectionID) -> (received: UInt64, sent: UInt64)? {
        connections[id].map { ($0.secret.rawBytesRead, $0.secret.rawBytesWritten) }
    }

    /// Our address as others see it, whether or not they reach us there; nil while unknown, port 0 when it differs for each of them.
    public var remoteAddress: Endpoint? { rpc.publicHost.map { Endpoint($0, rpc.publicPort) } }

    /// Others see another port each.
    public var isNATRandomized: Bool { rpc.publicHost != nil && rpc.publicPort == 0 }

    /// What a topic's record names: the nodes that pass handshakes on to this server, and our own address if it can be reached.
    public func relayAddresses(of server: ServerID) -> [Endpoint] { servers[server]?.announcer.relayAddresses ?? [] }
}
