import CompactEncoding
import Noise
import SansIO
import SecretStream
import UDX

/// One encrypted connection over one raw stream, from either side.
final class Connection {
    let id: ConnectionID
    let isInitiator: Bool
    let publicKey: Bytes32
    let remotePublicKey: Bytes32
    let streamID: StreamID
    let secret: SecretStream
    /// The server that took it; nil for our own connects.
    let server: ServerID?
    /// Who made it: the application, or a connection that wants to be relayed.
    let relayFor: RelayOwner?
    var pool: ConnectionPoolID?
    /// While a path is sought, or a better one.
    var attempt: ConnectAttempt?
    var handshake: ServerHandshake?
    /// Keys for the stream's start.
    var handshakeResult: HandshakeResult?
    /// The stream runs: keys and a path are there.
    var isStarted = false
    var isClosed = false
    /// The reason that we destroyed it for.
    var closeReason: HyperDHTError?
    var socket: SocketID?
    var remoteAddress: Endpoint?
    var remoteStreamID: UInt32 = 0
    var isRelayed = false
    /// The puncher socket that the pool counts this stream on.
    var pooledSocket: SocketID?
    var timer: NodeTimers<TimerPurpose>.ID?
    var timerDue = Instant.distantFuture
    /// Confirms that a relayed connection went over to a direct path.
    var upgrade = Upgrade.none
    /// The last packet outside the stream's own socket came over the direct path.
    var isValidUpgrade = true
    /// Set while the stream belongs to a relayed connection: its link to the relay.
    var relay: RelayLink?
    var relayChannel: RelayChannel?
    var wantsReusableSocket = false
    /// Flushes asked for before the raw stream was there.
    var flushTokens: [UInt64] = []
    var awaitsFlushes = false
    /// In the node's list of connections with output.
    var isPending = false
    /// More was written than the stream takes at the moment.
    var isCongested = false

    enum Upgrade {
        case none
        /// The change of remote is not acknowledged yet.
        case changing
        /// The empty message is out; the first data over the new path confirms.
        case confirming
    }

    init(
        id: ConnectionID, isInitiator: Bool, publicKey: Bytes32, remotePublicKey: Bytes32, streamID: StreamID, secret: SecretStream,
        server: ServerID?, relayFor: RelayOwner?
    ) {
        self.id = id
        self.isInitiator = isInitiator
        self.publicKey = publicKey
        self.remotePublicKey = remotePublicKey
        self.streamID = streamID
        self.secret = secret
        self.server = server
        self.relayFor = relayFor
    }

    var info: ConnectionInfo {
        ConnectionInfo(
            isInitiator: isInitiator, publicKey: publicKey, remotePublicKey: remotePublicKey, handshakeHash: secret.handshakeHash ?? [],
            remoteAddress: remoteAddress ?? Endpoint(.any, 0), isRelayed: isRelayed, localStreamID: streamID.rawValue,
            remoteStreamID: remoteStreamID)
    }
}
