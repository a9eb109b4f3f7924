import CompactEncoding
import DHTRPC
import HyperCrypto
import Noise
import SansIO
import UDX

/// One `connect` until its stream has a path or it fails. hyperdht.md section 13. The node drives it.
final class ConnectAttempt {
    let id: ConnectionID
    let target: Bytes32
    let remotePublicKey: Bytes32
    let options: ConnectOptions
    let keyPair: KeyPair
    let streamID: StreamID
    /// nil once message 2 was accepted.
    var noise: HandshakeState?
    /// HDHT-55. The one message 1 for all relays.
    var request: [UInt8]?
    /// What we say about ourselves in it.
    var firewall = Firewall.unknown

    // The search.
    var seeds: [Endpoint] = []
    /// Candidates known beforehand, tried one after another.
    var preconnect: [Endpoint] = []
    var preconnectQueue: ArraySlice<Endpoint> = []
    var preconnectIsRunning = false
    var query: QueryID?
    var searches = 0
    var searchesWanted = 1
    /// Repliers with a record that wait for a free slot.
    var candidates: [Endpoint] = []
    var triedRelays: [Endpoint] = []
    var running = 0
    var attempts = 0
    /// Trying a remembered route first.
    var isTryingRoute = false
    var routeSocket: SocketID?
    var requests: Set<RequestID> = []

    // After the handshake.
    var accepted: Accepted?
    /// Stream packets that came before message 2 decide the path.
    var early: (socket: SocketID, from: Endpoint)?
    var box: HolepunchBox?
    var localSecret: [UInt8] = []
    var puncher: Puncher?
    var round: UInt64 = 0
    /// What the round that is under way says, and to whom.
    var lastSent: HolepunchPayload?
    var lastPeer: Endpoint?
    var punch = PunchPhase.none
    var passiveTimer: NodeTimers<TimerPurpose>.ID?
    var pauseTimer: NodeTimers<TimerPurpose>.ID?
    var punchTimer: NodeTimers<TimerPurpose>.ID?
    /// True once the stream has a direct path, or is gone: later winners are ignored.
    var hasPath = false
    var relayToken: Bytes32?
    /// The relay that we offered.
    var relayKey: Bytes32?
    var relay: RelayLink?

    struct Accepted {
        var relayAddress: Endpoint
        var serverAddress: Endpoint
        var clientAddress: Endpoint
        var isRelayed: Bool
        var payload: NoisePayload
        var result: HandshakeResult
    }

    /// Where the hole punch stands. hyperdht.md section 13.11.
    enum PunchPhase {
        case none
        /// Round 0 is under way; `retry` allows one more. `server` is told as `remoteAddress`.
        case probing(retry: Bool, server: Endpoint?)
        /// The remote does not know its NAT yet: one second for it.
        case waitingForRemote(Probe)
        case analysing(Probe)
        case reopening(Probe)
        /// Round n. `delayed`: through the server's relay, after TRY_LATER.
        case punching(Plan, delayed: Bool)
        /// A round without punching, because random punches are busy.
        case announcing(Plan)
        case waitingToRetry(Plan, delayed: Bool)
        case aborting(HyperDHTError)
        case over

        struct Probe {
            var retry: Bool
            var server: Endpoint?
            var token: Bytes32?
            var peerAddress: Endpoint
        }
        struct Plan {
            var server: Endpoint
            var token: Bytes32?
            /// True while one slot of random punching is reserved.
            var reserved = false
        }
    }

    init(
        id: ConnectionID, remotePublicKey: Bytes32, keyPair: KeyPair, options: ConnectOptions, streamID: StreamID, noise: HandshakeState
    ) {
        self.id = id
        self.remotePublicKey = remotePublicKey
        self.keyPair = keyPair
        self.options = options
        self.streamID = streamID
        self.noise = noise
        target = Blake2b.hash256(remotePublicKey.bytes)
    }

    var slots: Int { preconnect.isEmpty ? 2 : 3 }

    /// The offered relay that we used, else the first.
    var serverRelay: NoisePayload.HolepunchInfo.Relay? {
        guard let accepted, let relays = accepted.payload.holepunch?.relays else { return nil }
        return relays.first { $0.relayAddress == accepted.relayAddress } ?? relays.first
    }
}
