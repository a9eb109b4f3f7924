import CompactEncoding
import KeyLog
import PacketCapture
import SansIO

/// Builds a `Dissection`: first each packet alone, then the conversations from the bottom up.
final class TraceDissector {
    let capture: Capture
    let keyLog: KeyLog?
    var knowledge: Knowledge
    var result: Dissection
    let recorder = FieldRecorder()
    /// Tokens that the logged secrets make for the hosts of this capture.
    var tokens: [Bytes32: TokenOrigin] = [:]
    var tokenIssuers: Set<Endpoint> = []
    /// Responses that belong to no request.
    var strays: [Int] = []

    struct TokenOrigin {
        let issuer: Endpoint
        let host: IPAddress
    }

    let memory: DissectionMemory?

    init(name: String, capture: Capture, keyLog: KeyLog?, knowledge: Knowledge, memory: DissectionMemory? = nil) {
        self.memory = memory
        self.capture = capture
        self.keyLog = keyLog
        self.knowledge = knowledge
        result = Dissection(name: name)
    }

    func run() -> Dissection {
        readPackets()
        result.captureIssues = capture.issues.map { ($0.reason, $0.count) }
        settleStreamZero()
        prepareTokens()
        matchRequests()
        readValues()
        joinRelayedLegs()
        explainSilence()
        followStreams()
        readHandshakes()
        openHolepunchPayloads()
        followSecretStreams()
        settleBytes()
        return result
    }

    private func readPackets() {
        let dissector = PacketDissector()
        result.packets.reserveCapacity(capture.packets.count)
        let remembers = memory.map { $0.packets.count == capture.packets.count } ?? false
        for (index, packet) in capture.packets.enumerated() {
            // Arrays that share their storage compare in no time.
            if remembers, let known = memory?.packets[index], known.packet.packet.payload == packet.payload {
                result.packets.append(known.packet)
                result.issues += known.issues
                continue
            }
            var issues: [Issue] = []
            let dissected = dissector.dissect(packet, &issues)
            result.packets.append(dissected)
            result.issues += issues
            if !remembers { memory?.packets.append((dissected, issues)) }
        }
    }

    func issue(_ rule: Issue.Rule, _ index: Int, _ field: String, _ offset: Int? = nil, _ message: String) {
        result.issues.append(
            Issue(
                rule, packet: result.packets.indices.contains(index) ? result.packets[index].number : 0, field: field, offset: offset,
                message))
    }

    /// A stream id of 0 is legal in UDX: if anything else than KadePy's one packet shape uses it, it is UDX.
    private func settleStreamZero() {
        let speaksUDX = result.packets.contains { packet in
            if case .udx(let message) = packet.message { return message.header.streamID.rawValue == 0 }
            return false
        }
        guard speaksUDX else { return }
        let dissector = PacketDissector()
        for index in result.packets.indices {
            guard case .kadepy(let message) = result.packets[index].kind, message.family == .extension03 else { continue }
            result.packets[index] = dissector.dissectAsUDX(result.packets[index].packet, &result.issues)
        }
    }

    private func prepareTokens() {
        for record in knowledge.tokenSecrets {
            if let address = IPAddress(record.host) { tokenIssuers.insert(Endpoint(address, record.port)) }
        }
        if let known = memory?.tokens {
            tokens = known
            return
        }
        defer { memory?.tokens = tokens }
        var hosts: Set<IPAddress> = []
        for packet in result.packets {
            hosts.insert(knowledge.publicAddress(of: packet.packet.source.address))
            hosts.insert(knowledge.publicAddress(of: packet.packet.destination.address))
        }
        guard hosts.count <= 4096 else { return }
        for record in knowledge.tokenSecrets {
            guard let address = IPAddress(record.host) else { continue }
            let issuer = Endpoint(address, record.port)
            for secret in record.secrets {
                for host in hosts { tokens[TraceDissector.token(host, secret)] = TokenOrigin(issuer: issuer, host: host) }
            }
        }
    }

    /// What nothing explained is an issue: a capture with such bytes proves nothing.
    private func settleBytes() {
        for index in result.packets.indices {
            let account = result.packets[index].account
            guard let offset = account.classes.firstIndex(of: .unexplained) else { continue }
            issue(
                .unexplained, index, result.packets[index].field(at: offset), offset,
                "\(account.count(of: .unexplained)) bytes that nothing accounts for")
        }
    }
}
