import CompactEncoding
import Conformance
import DHTRPC
import HyperCrypto
import HyperDHT
import PacketCapture
import SansIO
import StrictJSON

/// Our node in the place of a recorded one: it takes in what that node took in (datagrams, calls, draws, time), and what it sends is held
/// against what that node sent.
///
/// Every datagram of dht-rpc and every probe is exact, byte for byte, tid and order included. Times are within 100 ms.
/// Packets of streams are fed and not compared here: the plain UDX runs have a replay of their own.
final class NodeReplay {
    static let tolerance = Interval.milliseconds(100)
    /// How much later than captured the server socket of a firewalled node is read. The reference reads a socket until it is empty before
    /// the next; where answers wait on both sockets in one turn, those on the client socket (which a firewalled node asks from, and which
    /// was ready first) all come before.
    static let turn = Interval.milliseconds(2)
    /// A recording in which a request lay unread for longer can't be replayed.
    static let longestDelay = Interval.milliseconds(400)
    static let stallRule = "times: more than 20 ms in which nothing at all left the recorded node's host do not count"
    /// Between probes: of a random search, before its second cycle, and of consistent NATs.
    static let sleeps: [Interval] = [.milliseconds(20), .milliseconds(100), .milliseconds(1000)]
    static let paceRule = "linked: sleeps between probes are as long as the recorded ones, each at most 100 ms longer than asked for"

    struct Sent {
        let at: Instant
        let socket: SocketID
        let destination: Endpoint
        let payload: [UInt8]
        let timeToLive: UInt8
    }

    let view: NodeView
    let exam: Examination
    let node: HyperDHTNode
    private let bundle: TraceBundle
    private let sockets: NodeSockets
    private let calls: NodeCalls
    private let entropy = SeededEntropy(seed: 1)
    private(set) var now: Instant
    private(set) var sent: [Sent] = []
    /// Port of each of our sockets, once it is known.
    private(set) var ports: [SocketID: UInt16]
    private var isOpen: Set<SocketID>
    private var opened: Set<UInt16>
    private let foreignPorts: Set<UInt16>
    private var servers: [ServerID] = []
    private var streams: [NodeCalls.Stream: ConnectionID] = [:]
    private var isDestroyed = false
    /// Behind a NAT, where every probe in sight is this node's: when each left.
    private let recordedProbes: [Instant]
    private var lastProbe: Instant?
    private var probesSent = 0
    private(set) var keepsPace = false
    let wasUpBefore: Bool

    init(_ bundle: TraceBundle, _ view: NodeView, _ start: NodeStart, _ calls: NodeCalls, _ exam: Examination) {
        self.bundle = bundle
        self.view = view
        self.calls = calls
        self.exam = exam
        let first = view.capture.packets.first?.time ?? start.at
        wasUpBefore = start.at + .seconds(1) < first
        now = wasUpBefore ? first : start.at
        sockets = NodeSockets(
            server: SocketID(UInt32(view.serverPort)), serverPort: view.serverPort, client: SocketID(UInt32(view.clientPort)),
            clientPort: view.clientPort)
        ports = [sockets.server: view.serverPort, sockets.client: view.clientPort]
        isOpen = [sockets.server, sockets.client]
        opened = [view.serverPort, view.clientPort]
        recordedProbes = view.packets.filter {
            view.isBehindNAT && $0.source.address == view.host && $0.payload.count == 1
        }.map(\.time)
        foreignPorts = Set(
            (bundle.manifest?.peers ?? []).filter { $0.host == view.host }.flatMap { [$0.serverPort, $0.clientPort].compactMap { $0 } })
        var config = HyperDHTConfig()
        if wasUpBefore { config = .bootstrapper(view.server) }
        config.rpc.bindHost = view.host
        config.rpc.port = .from(view.serverPort)
        config.rpc.transactionIDs = .sequential(from: start.firstTID)
        config.rpc.draws.tableID = start.tableID
        // A node that was up before has neither its phase nor its traffic with other such nodes in the capture: it begins nothing itself.
        config.rpc.draws.tick = wasUpBefore ? 64 : start.tick
        config.rpc.draws.refreshTicks = wasUpBefore ? 60 : start.refreshTicks
        if !wasUpBefore {
            config.rpc.firewalled = view.startsFirewalled
            config.rpc.bootstrap = view.bootstrap.map { BootstrapEntry($0) }
            // Nodes of a network are started with `ephemeral: false`, others with default options.
            config.rpc.persistence = view.startsFirewalled ? .adaptive : .atStart
        }
        config.defaultKeyPair = view.peer.seed.flatMap { KeyPair(seed: $0.bytes) }
        config.localAddresses = [view.host]
        config.unixMilliseconds = UInt64(clamping: now.microseconds / 1000)
        NodeDraws(bundle, view).inject(into: entropy)
        node = HyperDHTNode(config: config, entropy: entropy, at: now)
    }

    // MARK: Running

    func run() throws {
        node.start()
        collect()
        if wasUpBefore { for endpoint in knownBefore { node.addNode(endpoint) } }
        for (at, input) in try inputs() {
            pass(to: at)
            if isDestroyed { break }
            switch input {
            case .datagram(let packet): receive(packet)
            case .call(let call): try perform(call)
            }
            collect()
        }
        if !isDestroyed { pass(to: view.packets.last?.time ?? now) }
    }

    /// The table of a node that was up before the capture began: what its first answer lists.
    private var knownBefore: [Endpoint] {
        for packet in view.sent {
            if let response = try? Response(decoding: packet.payload), !response.closerNodes.isEmpty { return response.closerNodes }
        }
        return []
    }

    private enum Input {
        case datagram(CapturedPacket)
        case call(NodeCalls.Call)
    }

    /// Everything that the recorded node may have taken in, in order; whether a puncher's socket was its own shows when it is read.
    private func inputs() throws -> [(Instant, Input)] {
        var result: [(at: Instant, number: Int, input: Input)] = []
        var places: [Endpoint] = []
        for packet in view.packets where packet.destination.address == view.host && !places.contains(packet.destination) {
            places.append(packet.destination)
        }
        for place in places where view.isOwn(place) || !foreignPorts.contains(place.port) {
            for (packet, time) in ReadTimes.of(place, view.packets, keys: view.keys) {
                let isLate = view.startsFirewalled && place == view.server && packet.payload.first == MessageType.response.rawValue
                result.append((isLate ? time + NodeReplay.turn : time, packet.number, .datagram(packet)))
            }
        }
        for (time, call) in try calls.all() { result.append((time, 0, .call(call))) }
        return result.sorted { ($0.at, $0.number) < ($1.at, $1.number) }.map { ($0.at, $0.input) }
    }

    private func pass(to instant: Instant) {
        while node.nextWakeUp <= instant, !isDestroyed {
            now = wakeUp(instant)
            node.advance(to: now)
            collect()
        }
        now = max(now, instant)
        node.advance(to: now)
        collect()
    }

    private func receive(_ packet: CapturedPacket) {
        guard let socket = ports.first(where: { $0.value == packet.destination.port && isOpen.contains($0.key) })?.key else { return }
        node.receive(packet.payload, from: packet.source, on: socket, now: now)
    }

    // MARK: Calls

    private func perform(_ call: NodeCalls.Call) throws {
        switch call {
        case .operation(let method, let arguments): try operate(method, arguments)
        case .listen(let pair, let options): servers.append(try node.listen(pair, options: options))
        case .connect(let address, let options):
            let id = node.connect(address, options: options)
            let own = options.keyPair?.publicKey ?? view.peer.publicKey ?? .zero
            streams[NodeCalls.Stream(publicKey: own, remotePublicKey: address.publicKey, isInitiator: true)] = id
        case .closeServer: if !servers.isEmpty { node.close(servers.removeFirst()) }
        case .write(let stream, let bytes): if let id = streams[stream] { node.write(id, bytes) }
        case .end(let stream): if let id = streams[stream] { node.end(id) }
        case .destroyStream(let stream): if let id = streams[stream] { node.destroy(id) }
        case .suspend: node.suspend()
        case .resume: node.resume()
        case .destroy:
            node.destroy()
            collect()
            isDestroyed = true
        }
    }

    private func operate(_ method: String, _ arguments: [JSON]) throws {
        let first = arguments.first ?? .null
        func pair(_ json: JSON?) throws -> KeyPair {
            guard let pair = KeyPair(secretKey: try Exchange.bytes(json?["secretKey"] ?? .null)) else {
                throw ExchangeFormatError("a key pair is expected", json ?? .null)
            }
            return pair
        }
        func place(_ index: Int) throws -> Endpoint {
            let json = arguments.indices.contains(index) ? arguments[index] : .null
            guard let host = json["host"]?.string.flatMap({ IPAddress($0) }),
                let port = json["port"]?.integer.flatMap({ UInt16(exactly: $0) })
            else { throw ExchangeFormatError("host and port are expected", json) }
            return Endpoint(host, port)
        }
        let second = arguments.dropFirst().first
        switch method {
        case "ping": node.ping(try place(0), padding: Int(clamping: second?["size"]?.integer ?? 0))
        case "delayedPing": node.delayedPing(try place(0), delayMilliseconds: UInt32(clamping: second?.integer ?? 0))
        case "findNode": node.findNode(try Exchange.bytes32(first))
        case "findPeer": node.findPeer(try Exchange.bytes32(first))
        case "lookup": node.lookup(try Exchange.bytes32(first))
        case "request":
            var options = RequestOptions()
            options.target = try first["target"].flatMap { $0.isNull ? nil : try Exchange.bytes32($0) }
            options.token = try first["token"].flatMap { $0.isNull ? nil : try Exchange.bytes32($0) }
            options.value = try first["value"].flatMap { $0.isNull ? nil : try Exchange.bytes($0) }
            node.request(to: try place(1), command: UInt64(clamping: first["command"]?.integer ?? 0), options: options)
        case "announce":
            var options = AnnounceOptions()
            let json = arguments.dropFirst(3).first
            if let bump = json?["bump"]?.integer { options.bump = UInt64(clamping: bump) }
            options.clears = json?["clear"]?.bool ?? false
            let relays = try (arguments.dropFirst(2).first?.array ?? []).map(Exchange.endpoint)
            node.announce(try Exchange.bytes32(first), signer: .keyPair(try pair(second)), relayAddresses: relays, options: options)
        case "unannounce": node.unannounce(try Exchange.bytes32(first), signer: .keyPair(try pair(second)))
        case "immutableGet": node.immutableGet(try Exchange.bytes32(first))
        case "immutablePut":
            // What never reached the wire can't be known, and changes nothing there.
            if let value = calls.value(first) { node.immutablePut(value) }
        case "mutableGet":
            var options = MutableGetOptions()
            if let seq = second?["seq"]?.integer { options.seq = UInt64(clamping: seq) }
            if let latest = second?["latest"]?.bool { options.latest = latest }
            node.mutableGet(try Exchange.bytes32(first), options: options)
        case "mutablePut":
            let seq = UInt64(clamping: arguments.dropFirst(2).first?["seq"]?.integer ?? 0)
            if let value = calls.value(second ?? .null) { node.mutablePut(try pair(first), seq: seq, value: value) }
        default: throw ExchangeFormatError("the replay does not know the call \"\(method)\"", first)
        }
    }

    // MARK: Effects

    private func collect() {
        while true {
            let events = node.takeEvents()
            for event in events { handle(event) }
            let requests = node.takeSocketRequests()
            for case .open(let socket) in requests { isOpen.insert(socket) }
            let transmits = node.takeTransmits()
            for transmit in transmits { note(transmit) }
            for case .close(let socket) in requests { isOpen.remove(socket) }
            if events.isEmpty, transmits.isEmpty { return }
        }
    }

    private func handle(_ event: HyperDHTEvent) {
        switch event {
        case .bind: node.bound(sockets)
        case .connection(_, let id, let info):
            streams[NodeCalls.Stream(publicKey: info.publicKey, remotePublicKey: info.remotePublicKey, isInitiator: false)] = id
        default: break
        }
    }

    /// A puncher's port is that of the recorded packet that ours is the same as.
    private func note(_ transmit: Transmit) {
        if ports[transmit.socket] == nil {
            let fits = view.packets.first { packet in
                packet.source.address == view.host && !foreignPorts.contains(packet.source.port) && !opened.contains(packet.source.port)
                    && packet.destination == transmit.destination && packet.payload == transmit.payload
                    && packet.source != packet.destination
            }
            if let port = fits?.source.port {
                ports[transmit.socket] = port
                opened.insert(port)
            }
        }
        if transmit.payload.count == 1 {
            lastProbe = now
            probesSent += 1
        }
        sent.append(
            Sent(
                at: now, socket: transmit.socket, destination: transmit.destination, payload: transmit.payload,
                timeToLive: transmit.timeToLive))
    }

    /// Late timers of the recorded process: where our next wake-up ends a sleep after a probe, it comes when the recorded one did.
    private func wakeUp(_ instant: Instant) -> Instant {
        let due = max(now, node.nextWakeUp)
        guard let last = lastProbe, NodeReplay.sleeps.contains(due - last), probesSent < recordedProbes.count else { return due }
        let recorded = recordedProbes[probesSent]
        guard recorded > due, recorded - due <= NodeReplay.tolerance else { return due }
        keepsPace = true
        return min(recorded, instant)
    }

    /// Time within the span during which the recorded host sent nothing for more than 20 ms on end.
    func stalled(from start: Instant, to end: Instant) -> Interval {
        var total = Interval.zero
        var last = start
        for packet in view.packets where packet.source.address == view.host && packet.time > start {
            let next = min(packet.time, end)
            if next - last > .milliseconds(20) { total = total + (next - last) }
            last = next
            if packet.time >= end { break }
        }
        return total
    }

    /// The first two token secrets that the recorded node drew.
    var tokenSecrets: [Bytes32]? { NodeDraws(bundle, view).tokenSecrets }

    /// Whether all that leaves this host is this node's.
    var isAloneOnHost: Bool { (bundle.manifest?.peers ?? []).filter { $0.host == view.peer.host }.count == 1 }

    /// Ports that this node spoke from, as far as ours did the same.
    var claimedPorts: Set<UInt16> { Set(ports.values) }
}
