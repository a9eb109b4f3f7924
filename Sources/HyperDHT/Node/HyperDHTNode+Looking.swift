import CompactEncoding
import DHTRPC
import HyperCrypto
import Noise
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

    // MARK: Secrets, for a key log

    /// The keys with which a handshake was entered whose ephemeral key was drawn for this context; nil if it is over, or none of ours.
    public func handshakeKeys(_ context: UInt64) -> (isInitiator: Bool, keyPair: KeyPair, remotePublicKey: Bytes32?)? {
        if let attempt = connections[ConnectionID(number: context)]?.attempt { return (true, attempt.keyPair, attempt.remotePublicKey) }
        for server in serversInOrder {
            if let known = server.byNumber[context] { return (false, server.keyPair, known.result?.remotePublicKey) }
        }
        return nil
    }

    /// Keys of encrypted streams that started since the last call. Empty unless `reportsSecrets` is set.
    public func takeStreamSecrets() -> [StreamSecrets] {
        defer { streamSecrets = [] }
        return streamSecrets
    }

    /// The two secrets that round-trip tokens are made with, the older first; nil before the first use.
    public var tokenSecrets: [Bytes32]? { rpc.tokenSecrets }

    func noteSecrets(_ connection: Connection, _ result: HandshakeResult) {
        guard reportsSecrets, let tx = Bytes32(result.tx), let rx = Bytes32(result.rx) else { return }
        streamSecrets.append(
            StreamSecrets(
                isInitiator: result.isInitiator, publicKey: result.publicKey, remotePublicKey: result.remotePublicKey,
                handshakeHash: result.hash, tx: tx, rx: rx, localStreamID: connection.streamID.rawValue,
                remoteStreamID: connection.remoteStreamID))
    }
}

/// The keys of one encrypted stream, as its key log line has them.
public struct StreamSecrets: Hashable, Sendable {
    public let isInitiator: Bool
    public let publicKey: Bytes32
    public let remotePublicKey: Bytes32?
    public let handshakeHash: [UInt8]
    public let tx: Bytes32
    public let rx: Bytes32
    public let localStreamID: UInt32
    public let remoteStreamID: UInt32
}
