import CompactEncoding
import Conformance
import DHTRPC
import KeyLog
import PacketCapture
import SansIO
import StrictJSON

/// Puts our node in the place of a recorded one: it takes in what the recorded node took in (datagrams, calls, draws, time), and every
/// datagram that it sends is held against what the recorded node sent.
///
/// Variance: responses exact; requests exact but for the tid, which is linked (ours stands for one recorded tid, one for one); times of
/// retransmissions within 100 ms. Nothing is free.
final class DHTRPCReplay {
    static let tolerance = Interval.milliseconds(100)
    /// How much later than captured the server socket of a firewalled node is read. The reference reads a socket until it is empty before
    /// the next; where answers wait on both sockets in one turn, those on the client socket (which a firewalled node asks from, and which
    /// was ready first) all come before.
    static let turn = Interval.milliseconds(2)

    private struct Sent {
        let at: Instant
        let payload: [UInt8]
    }

    private let bundle: TraceBundle
    private let peer: Manifest.Peer
    private let exam: Examination
    private let node: DHTRPCNode
    private let sockets: NodeSockets
    private let host: IPAddress
    private var now: Instant
    private var sent: [Endpoint: [Sent]] = [:]
    private var order: [Endpoint] = []
    /// tid of a recorded request of this node, and ours for it.
    private var ours: [UInt16: UInt16] = [:]
    private var recorded: [UInt16: UInt16] = [:]
    private var isDestroyed = false

    /// nil for a peer without node, or one whose draws were not recorded.
    init?(_ bundle: TraceBundle, _ peer: Manifest.Peer, index: Int, _ exam: Examination) {
        guard let server = peer.serverPort, let client = peer.clientPort, let host = peer.host,
            let draws = DHTRPCReplay.draws(bundle, index), let first = bundle.manifest?.peers.first,
            let firstHost = first.host, let firstPort = first.serverPort
        else { return nil }
        self.bundle = bundle
        self.peer = peer
        self.exam = exam
        self.host = host
        now = draws.at
        var config = NodeConfig()
        config.port = .from(server)
        config.transactionIDs = .sequential(from: draws.tid)
        config.draws = draws.initial
        config.draws.tokenSecrets = DHTRPCReplay.tokenSecrets(bundle, port: server)
        config.firewalled = peer.isFirewalled ?? true
        if index > 0 { config.bootstrap = [BootstrapEntry(Endpoint(firstHost, firstPort))] }
        // The nodes of the network are started with `ephemeral: false`; the last peer is a client with default options.
        config.persistence = config.firewalled ? .adaptive : .atStart
        node = DHTRPCNode(config: config, entropy: SeededEntropy(seed: 1), at: draws.at)
        sockets = NodeSockets(server: SocketID(UInt32(server)), serverPort: server, client: SocketID(UInt32(client)), clientPort: client)
    }

    // MARK: What the recorded node drew

    /// A node draws its table id, its first tid, and the starts of its two counters, in this order, when it is made.
    private static func draws(_ bundle: TraceBundle, _ index: Int) -> (at: Instant, tid: UInt16, initial: InitialDraws)? {
        var seen = -1
        var at = Instant.zero
        var tid: UInt16?
        var units: [Double] = []
        var initial = InitialDraws()
        for input in bundle.inputs {
            guard case .draw(_, let file, _, let function, let value) = input.kind else { continue }
            if file == "dht-rpc/index.js", function == "randomBytes", case .bytes(let bytes) = value {
                seen += 1
                if seen > index { break }
                at = input.time
                initial.tableID = Bytes32(bytes)
            }
            guard seen == index, case .unit(let unit) = value else { continue }
            if file == "dht-rpc/lib/io.js", function == "IO" { tid = UInt16(unit * 65_536) }
            if file == "dht-rpc/index.js", function == "randomOffset" { units.append(unit) }
        }
        guard let tid, units.count == 2 else { return nil }
        initial.tick = 100 - Int32(units[0] * 50)
        initial.refreshTicks = 60 - Int32(units[1] * 30)
        return (at, tid, initial)
    }

    private static func tokenSecrets(_ bundle: TraceBundle, port: UInt16) -> [Bytes32]? {
        for entry in bundle.keyLog?.entries ?? [] {
            if case .tokenSecrets(let record) = entry.record, record.port == port { return record.secrets }
        }
        return nil
    }

    // MARK: Running

    private enum Input {
        case datagram([UInt8], from: Endpoint, port: UInt16)
        case call(String, [JSON])
    }

    func run() throws {
        node.start()
        collect()
        for (at, input) in try inputs() {
            pass(to: at)
            if isDestroyed { break }
            switch input {
            case .datagram(let payload, let source, let port):
                node.receive(translated(payload), from: source, on: SocketID(UInt32(port)), at: now)
            case .call(let method, let arguments): try call(method, arguments)
            }
            collect()
        }
        compare()
    }

    /// Everything that the recorded node took in, in order.
    private func inputs() throws -> [(Instant, Input)] {
        var result: [(at: Instant, number: Int, input: Input)] = []
        for packet in bundle.capture.packets where packet.destination.address == host {
            let port = packet.destination.port
            guard port == sockets.serverPort || port == sockets.clientPort, packet.payload.count >= 2 else { continue }
            let isLate = peer.isFirewalled == true && port == sockets.serverPort
            result.append(
                (
                    isLate ? packet.time + DHTRPCReplay.turn : packet.time, result.count,
                    .datagram(packet.payload, from: packet.source, port: port)
                )
            )
        }
        for input in bundle.inputs {
            guard case .call("HyperDHT", let id, let method, let arguments) = input.kind,
                id["serverPort"]?.integer == Int64(sockets.serverPort)
            else { continue }
            result.append((input.time, result.count, .call(method, arguments)))
        }
        return result.sorted { ($0.at, $0.number) < ($1.at, $1.number) }.map { ($0.at, $0.input) }
    }

    private func pass(to instant: Instant) {
        while node.nextWakeUp <= instant {
            now = max(now, node.nextWakeUp)
            node.advance(to: now)
            collect()
        }
        now = max(now, instant)
        node.advance(to: now)
        collect()
    }

    /// A response to a recorded request carries the recorded tid; ours may be another one.
    private func translated(_ payload: [UInt8]) -> [UInt8] {
        guard payload.first == MessageType.response.rawValue, let tid = Exchange.tid(payload), let own = ours[tid] else { return payload }
        var copy = payload
        Exchange.setTID(&copy, own)
        return copy
    }

    private func call(_ method: String, _ arguments: [JSON]) throws {
        func endpoint(_ index: Int) throws -> Endpoint {
            try Exchange.endpoint(arguments.indices.contains(index) ? arguments[index] : .null)
        }
        switch method {
        case "ping":
            let size = arguments.dropFirst().first?["size"]?.integer ?? 0
            node.ping(try endpoint(0), padding: Int(clamping: size))
        case "delayedPing":
            let delay = UInt32(clamping: arguments.dropFirst().first?.integer ?? 0)
            node.delayedPing(try endpoint(0), delayMilliseconds: delay)
        case "findNode": node.findNode(try Exchange.bytes32(arguments.first ?? .null))
        case "request":
            let object = try ExchangeObject(
                arguments.first ?? .null, required: ["command"], optional: ["target", "token", "value"])
            var options = RequestOptions()
            options.target = try object["target"].map(Exchange.bytes32)
            options.token = try object["token"].map(Exchange.bytes32)
            options.value = try object["value"].map(Exchange.bytes)
            node.request(to: try endpoint(1), command: UInt64(clamping: try object.integer("command")), options: options)
        case "destroy":
            node.destroy()
            isDestroyed = true
        case "fullyBootstrapped": break
        default: throw ExchangeFormatError("the replay does not know the call \"\(method)\"", arguments.first ?? .null)
        }
    }

    private func collect() {
        while true {
            for transmit in node.takeTransmits() { note(transmit) }
            let events = node.takeEvents()
            if events.isEmpty { return }
            for event in events {
                switch event {
                case .bind: node.bound(sockets)
                case .request(let request): node.replyUnknownCommand(to: request)
                default: break
                }
            }
        }
    }

    /// A request of ours stands for the recorded one to the same node that is equal but for the tid.
    private func note(_ transmit: Transmit) {
        if sent[transmit.destination] == nil { order.append(transmit.destination) }
        let number = sent[transmit.destination]?.count ?? 0
        sent[transmit.destination, default: []].append(Sent(at: now, payload: transmit.payload))
        guard transmit.payload.first == MessageType.request.rawValue, let tid = Exchange.tid(transmit.payload) else { return }
        let theirs = recordedPackets(to: transmit.destination)
        guard number < theirs.count, let theirTID = Exchange.tid(theirs[number].payload) else { return }
        if ours[theirTID] == nil, recorded[tid] == nil {
            ours[theirTID] = tid
            recorded[tid] = theirTID
        }
    }

    private func recordedPackets(to destination: Endpoint) -> [CapturedPacket] {
        bundle.capture.packets.filter {
            $0.destination == destination && $0.source.address == host
                && ($0.source.port == sockets.serverPort || $0.source.port == sockets.clientPort) && $0.payload.count >= 2
        }
    }

    // MARK: Verdict

    private func compare() {
        var destinations = order
        for packet in bundle.capture.packets where packet.source.address == host && !destinations.contains(packet.destination) {
            if packet.source.port == sockets.serverPort || packet.source.port == sockets.clientPort {
                destinations.append(packet.destination)
            }
        }
        for destination in destinations {
            let theirs = recordedPackets(to: destination)
            let own = sent[destination] ?? []
            exam.equal("\(peer.name) to \(destination): datagrams", own.count, theirs.count)
            for (packet, mine) in zip(theirs, own) {
                exam.at("packet \(packet.number), \(peer.name) to \(destination)") {
                    var payload = mine.payload
                    if payload.first == MessageType.request.rawValue, let tid = Exchange.tid(payload),
                        let theirTID = Exchange.tid(packet.payload)
                    {
                        exam.equal("tid", recorded[tid], theirTID)
                        Exchange.setTID(&payload, theirTID)
                    }
                    exam.bytes("datagram", payload, packet.payload)
                    let delay = (packet.time - mine.at).microseconds
                    exam.require("time", abs(delay) <= DHTRPCReplay.tolerance.microseconds, "\(delay) µs from the recorded time")
                }
            }
        }
    }
}

enum DHTRPCReplayChecks {
    static let checks: [Check] = [
        Check(
            "dht.replay.bootstrap", ["DHT-1", "DHT-3", "DHT-4", "DHT-14", "DHT-15", "DHT-48"], .replay
        ) { try replay("dht-bootstrap", $0) },
        Check("dht.replay.bootstrap-again", ["DHT-3", "DHT-14", "DHT-15"], .replay) { try replay("again/dht-bootstrap", $0) },
        Check(
            "dht.replay.commands",
            ["DHT-1", "DHT-5", "DHT-11", "DHT-14", "DHT-21", "DHT-23", "DHT-26", "DHT-33", "DHT-43"], .replay
        ) { try replay("dht-rpc-commands", $0) },
        Check("dht.replay.commands-again", ["DHT-14", "DHT-21", "DHT-33", "DHT-43"], .replay) { try replay("again/dht-rpc-commands", $0) },
    ]

    private static func replay(_ name: String, _ exam: Examination) throws {
        let path = exam.corpus.root + "/Fixtures/" + name
        guard let bundle = try? TraceBundle(path: path, name: name), let peers = bundle.manifest?.peers else {
            return exam.notRun("there is no bundle \(name) in this corpus")
        }
        for (index, peer) in peers.enumerated() {
            guard let replay = DHTRPCReplay(bundle, peer, index: index, exam) else {
                exam.report(peer.name, expected: "the draws of a node", actual: "they are not in inputs.jsonl")
                continue
            }
            try replay.run()
        }
    }
}
