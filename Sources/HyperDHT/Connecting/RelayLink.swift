import BlindRelay
import CompactEncoding
import Protomux
import SansIO

/// A connection's link to its blind relay: which relay, under which token, and how far it got. hyperdht.md section 15.
final class RelayLink {
    let owner: RelayOwner
    let relayKey: Bytes32
    let token: Bytes32
    /// The side whose relay is used is the pairing's initiator. HDHT-68.
    let isInitiator: Bool
    /// Our connection to the relay.
    var connection: ConnectionID?
    var timer: NodeTimers<TimerPurpose>.ID?
    var isPaired = false

    init(owner: RelayOwner, agreement: RelayAgreement) {
        self.owner = owner
        relayKey = agreement.offer.relayPublicKey
        token = agreement.offer.token
        isInitiator = agreement.isPairInitiator
    }
}

/// What a connection carries for relaying: the blind-relay channel, as its client or as its server.
final class RelayChannel {
    enum Role {
        case client(BlindRelayClient)
        case server(BlindRelayServer.SessionID)
    }

    let mux: Protomux
    let role: Role

    init(mux: Protomux, role: Role) {
        self.mux = mux
        self.role = role
    }
}
