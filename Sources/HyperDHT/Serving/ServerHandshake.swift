import CompactEncoding
import DHTRPC
import Noise
import SansIO
import UDX

/// One handshake with a client, from its first message until it is forgotten. hyperdht.md section 12.
final class ServerHandshake {
    let number: UInt64
    let server: ServerID
    /// The exact bytes of message 1.
    let noise: [UInt8]
    var slot: UInt64 = 0
    let clientAddress: Endpoint
    /// Our address as the request's sender sees it.
    let serverAddress: Endpoint
    /// The request came straight from the client.
    let isDirect: Bool
    let socket: SocketID
    var state = State.new
    /// Copies that arrived while the answer was not ready.
    var waiting: [(request: IncomingRequest, path: RoutingAction.AnswerPath)] = []

    enum State {
        case new
        /// The owner was asked.
        case asking(HandshakeState, NoisePayload)
        /// Refused, or not a handshake: silence for every copy.
        case silent
        /// The answer, the same for every copy.
        case answered([UInt8])
    }

    var remotePayload: NoisePayload?
    var result: HandshakeResult?
    var streamID: StreamID?
    var connection: Connection?
    /// True once the stream has a direct path, or is gone.
    var hasPath = false
    var isAborted = false
    /// The client's encrypted stream has come.
    var isProven = false
    var repliesFromPuncher = false
    var puncher: Puncher?
    var box: HolepunchBox?
    var localSecret: [UInt8] = []
    var round: UInt64 = 0
    /// Rounds that wait for the puncher's analysis, by waiter.
    var rounds: [UInt64: Round] = [:]
    var askTimer: NodeTimers<TimerPurpose>.ID?
    var prepunchTimer: NodeTimers<TimerPurpose>.ID?
    var clearTimer: NodeTimers<TimerPurpose>.ID?
    var punchTimer: NodeTimers<TimerPurpose>.ID?
    /// Relays to offer in this handshake instead of the server's own.
    var relays: [Bytes32]?
    var relayToken: Bytes32?
    /// The relay that we offered.
    var offeredRelay: Bytes32?
    /// There is no direct path yet, so a relay may help.
    var mayRelay = false
    var relay: RelayLink?

    /// A PEER_HOLEPUNCH that is being answered.
    struct Round {
        var request: IncomingRequest
        var peerAddress: Endpoint
        var payload: HolepunchPayload
        var isFromOwnRelay: Bool
        var token: Bytes32
        var mayReopen = false
    }

    init(
        number: UInt64, server: ServerID, noise: [UInt8], clientAddress: Endpoint, serverAddress: Endpoint, isDirect: Bool,
        socket: SocketID
    ) {
        self.number = number
        self.server = server
        self.noise = noise
        self.clientAddress = clientAddress
        self.serverAddress = serverAddress
        self.isDirect = isDirect
        self.socket = socket
    }
}
