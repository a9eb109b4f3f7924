import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import SansIO

/// One persistent node under test, and testers that send it raw datagrams: no network, no time but what the check lets pass.
final class HyperDHTBench {
    static let address = Endpoint(.loopback, 40100)
    static let server = SocketID(1)
    static let client = SocketID(2)

    let node: HyperDHTNode
    private(set) var now = Instant(microseconds: 1_000_000)
    private(set) var events: [HyperDHTEvent] = []
    /// What left the node and no call has taken yet.
    private(set) var sent: [Transmit] = []
    private var nextTID: UInt16 = 1000

    init(seed: UInt64 = 1, _ change: (inout HyperDHTConfig) -> Void = { _ in }) {
        var config = HyperDHTConfig.bootstrapper(HyperDHTBench.address)
        config.unixMilliseconds = 1_764_000_000_000
        change(&config)
        node = HyperDHTNode(config: config, entropy: SeededEntropy(seed: seed), at: now)
        node.start()
        drain()
    }

    private func drain() {
        for event in node.takeEvents() {
            if case .bind = event {
                node.bound(
                    NodeSockets(
                        server: HyperDHTBench.server, serverPort: HyperDHTBench.address.port, client: HyperDHTBench.client,
                        clientPort: 40101))
                return drain()
            }
            events.append(event)
        }
        _ = node.takeSocketRequests()
        sent += node.takeTransmits()
    }

    func pass(_ interval: Interval) {
        let end = now + interval
        while node.nextWakeUp <= end {
            now = max(now, node.nextWakeUp)
            node.advance(to: now)
            drain()
        }
        now = end
        node.advance(to: now)
        drain()
    }

    /// Runs commands and takes what they caused.
    @discardableResult
    func command<T>(_ body: (HyperDHTNode) throws -> T) rethrows -> T {
        let result = try body(node)
        drain()
        return result
    }

    /// A datagram from a tester; returns what the node sent at once.
    @discardableResult
    func send(_ datagram: [UInt8], from source: Endpoint, on socket: SocketID = HyperDHTBench.server) -> [Transmit] {
        sent = []
        node.receive(datagram, from: source, on: socket, now: now)
        drain()
        defer { sent = [] }
        return sent
    }

    func takeSent() -> [Transmit] {
        defer { sent = [] }
        return sent
    }

    /// A request from a tester, and the response to it; nil for silence.
    @discardableResult
    func ask(
        _ command: HyperDHTCommand, target: Bytes32?, value: [UInt8]? = nil, token: Bytes32? = nil, from source: Endpoint
    ) -> Response? {
        nextTID &+= 1
        let request = Request(
            tid: nextTID, to: HyperDHTBench.address, token: token, isInternal: false, command: command.rawValue, target: target,
            value: value)
        for transmit in send(request.encoded, from: source) where transmit.destination == source {
            if let response = try? Response(decoding: transmit.payload), response.tid == nextTID { return response }
        }
        return nil
    }

    /// A fresh token for the tester.
    func token(for source: Endpoint) -> Bytes32? { ask(.findPeer, target: .zero, from: source)?.token }

    /// Announces a record under a topic as a client does.
    @discardableResult
    func announce(
        _ keyPair: KeyPair, target: Bytes32, relayAddresses: [Endpoint] = [], bump: UInt64 = 0, from source: Endpoint
    ) -> Response? {
        guard let token = token(for: source) else { return nil }
        var message = AnnounceMessage(peer: PeerRecord(publicKey: keyPair.publicKey, relayAddresses: relayAddresses), bump: bump)
        if let peer = message.peer {
            message.signature = RecordSignature.sign(
                .announce, target: target, token: token, nodeID: node.nodeID, peer: peer, keyPair: keyPair)
        }
        return ask(.announce, target: target, value: message.encoded, token: token, from: source)
    }

    func lookup(_ target: Bytes32, from source: Endpoint) throws -> LookupReply? {
        guard let value = ask(.lookup, target: target, from: source)?.value else { return nil }
        return try LookupReply(decoding: value)
    }
}
