import CompactEncoding
import DHTRPC
import HyperCrypto
import HyperDHT
import SansIO

extension TraceDissector {
    /// Reads the values inside requests and responses, and checks ids, tokens, signatures and hashes.
    func readValues() {
        var exchangeOf: [Int: Int] = [:]
        for (number, exchange) in result.exchanges.enumerated() {
            for index in exchange.requests { exchangeOf[index] = number }
            if let response = exchange.response { exchangeOf[response] = number }
            for index in exchange.duplicateResponses { exchangeOf[index] = number }
        }
        // Keys that mutable puts name make later replies checkable.
        for exchange in result.exchanges where !exchange.isInternal {
            if case .request(let request) = result.packets[exchange.request].message, let value = request.value {
                switch HyperDHTCommand(rawValue: request.command) {
                case .mutablePut: if let put = try? MutablePutRequest(decoding: value) { knowledge.add(key: put.publicKey) }
                case .announce: if let key = (try? AnnounceMessage(decoding: value))?.peer?.publicKey { knowledge.add(key: key) }
                default: break
                }
            }
        }
        for index in result.packets.indices {
            switch result.packets[index].message {
            case .request(let request):
                checkID(request.id, index)
                checkRequestToken(request, index, exchangeOf[index])
                readRequestValue(request, index, exchangeOf[index].map { result.exchanges[$0] })
            case .response(let response):
                checkID(response.id, index)
                checkResponseToken(response, index)
                if let exchange = exchangeOf[index] { readResponseValue(response, index, result.exchanges[exchange]) }
            default: break
            }
        }
    }

    private func range(of field: String, _ index: Int) -> Range<Int>? { result.packets[index].units.first?.field(field)?.range }

    // MARK: Ids and tokens

    private func checkID(_ id: Bytes32?, _ index: Int) {
        guard let id, let range = range(of: "id", index) else { return }
        if NodeID.matches(id, result.packets[index].packet.source) {
            result.verified.nodeIDs += 1
            result.packets[index].account.mark(range, .verified)
        } else {
            result.failed.nodeIDs += 1
            issue(.nodeID, index, "dht-rpc.id", range.lowerBound, "the id is not the hash of \(result.packets[index].packet.source)")
        }
    }

    private func checkResponseToken(_ response: Response, _ index: Int) {
        guard let token = response.token, let range = range(of: "token", index) else { return }
        if let origin = tokens[token], origin.host == knowledge.publicAddress(of: result.packets[index].packet.destination.address) {
            accept(token: range, index)
        } else if knowsSecrets(of: result.packets[index].packet.source) {
            refuse(
                token: range, index,
                "the token was not made with the node's secrets for \(result.packets[index].packet.destination.address)")
        }
    }

    private func checkRequestToken(_ request: Request, _ index: Int, _ exchange: Int?) {
        guard let token = request.token, let range = range(of: "token", index) else { return }
        if let origin = tokens[token], origin.host == knowledge.publicAddress(of: result.packets[index].packet.source.address) {
            accept(token: range, index)
            return
        }
        // A wrong token must have been answered with INVALID_TOKEN; then all is as it should be.
        if let answer = exchange.flatMap({ result.exchanges[$0].response }), result.packets[answer].packet.isCut { return }
        if let exchange, let answer = result.exchanges[exchange].response, case .response(let response) = result.packets[answer].message,
            response.error == ErrorCode.invalidToken
        {
            result.packets[index].labels.append("the token was refused")
            return
        }
        if knowsSecrets(of: result.packets[index].packet.destination) {
            refuse(
                token: range, index, "the token was not made with the receiver's secrets for \(result.packets[index].packet.source.address)"
            )
        }
    }

    /// A node is logged under its server port; it may answer from its client port.
    private func knowsSecrets(of endpoint: Endpoint) -> Bool {
        if tokenIssuers.contains(endpoint) { return true }
        return knowledge.peers.contains { peer in
            guard let host = peer.host, host == endpoint.address, peer.clientPort == endpoint.port, let port = peer.serverPort else {
                return false
            }
            return tokenIssuers.contains(Endpoint(host, port))
        }
    }

    private func accept(token range: Range<Int>, _ index: Int) {
        result.verified.tokens += 1
        result.packets[index].account.mark(range, .verified)
    }

    private func refuse(token range: Range<Int>, _ index: Int, _ message: String) {
        result.failed.tokens += 1
        issue(.token, index, "dht-rpc.token", range.lowerBound, message)
    }

    // MARK: Values

    /// Decodes a message inside the `value` field with its own codec, records its fields, and compares the re-encoding.
    @discardableResult
    func nested<Message: CompactCodable>(
        _ type: Message.Type, _ index: Int, _ range: Range<Int>, _ layer: Layer, _ name: String,
        decode: ((inout Reader) throws(DecodingFailure) -> Message)? = nil
    ) -> Message? {
        let payload = result.packets[index].packet.payload
        recorder.reset()
        var reader = Reader(payload, range: range, recorder: recorder)
        var unit = Unit(layer: layer, name: name, bytes: payload, range: range)
        do {
            let message = if let decode { try decode(&reader) } else { try Message(from: &reader) }
            unit.fields = recorder.records
            result.packets[index].units.append(unit)
            result.packets[index].account(for: unit)
            PacketDissector.compare(
                message.encoded, with: payload[range], unit, result.packets[index].number, &result.issues, at: range.lowerBound)
            return message
        } catch {
            unit.fields = recorder.records
            unit.notes.append("does not decode: \(error)")
            result.packets[index].units.append(unit)
            issue(.decode, index, "\(layer.rawValue).\(error.field)", error.offset, error.kind.rawValue)
            return nil
        }
    }

    private func readRequestValue(_ request: Request, _ index: Int, _ exchange: Exchange?) {
        guard let range = range(of: "value", index), request.value != nil else { return }
        if request.isInternal {
            let command = request.command
            nested(InternalValue.self, index, range, .dhtRPC, "\(CommandName.of(request)) value") {
                (reader: inout Reader) throws(DecodingFailure) in
                try InternalValue(command, from: &reader)
            }
            return
        }
        let name = CommandName.of(request)
        switch HyperDHTCommand(rawValue: request.command) {
        case .peerHandshake: nested(HandshakeMessage.self, index, range, .hyperDHT, name)
        case .peerHolepunch: nested(HolepunchMessage.self, index, range, .hyperDHT, name)
        case .announce, .unannounce:
            if let message = nested(AnnounceMessage.self, index, range, .hyperDHT, name) { checkAnnounce(message, request, index, range) }
        case .mutablePut:
            if let put = nested(MutablePutRequest.self, index, range, .hyperDHT, name) {
                checkMutable(put.publicKey, put.seq, put.value, put.signature, index, range)
                if let target = request.target, Blake2b.hash256(put.publicKey.bytes) != target {
                    issue(
                        .hash, index, "dht-rpc.target", self.range(of: "target", index)?.lowerBound,
                        "the target is not the hash of the public key")
                } else {
                    markTarget(index)
                }
            }
        case .mutableGet: nested(MutableGetRequest.self, index, range, .hyperDHT, name)
        case .immutablePut:
            // A request that was refused for its token may hold anything.
            if isRefused(exchange) { break }
            checkImmutable(Array(result.packets[index].packet.payload[range]), request.target, index, range, "dht-rpc.value")
        case .plugin: nested(PluginMessage.self, index, range, .hyperDHT, name)
        default: break
        }
    }

    private func readResponseValue(_ response: Response, _ index: Int, _ exchange: Exchange) {
        guard let range = range(of: "value", index), response.value != nil, !exchange.isInternal else { return }
        switch HyperDHTCommand(rawValue: exchange.commandNumber) {
        case .peerHandshake: nested(HandshakeMessage.self, index, range, .hyperDHT, exchange.command)
        case .peerHolepunch: nested(HolepunchMessage.self, index, range, .hyperDHT, exchange.command)
        case .findPeer:
            if let record = nested(PeerRecord.self, index, range, .hyperDHT, "peer record"), let target = exchange.target {
                if Blake2b.hash256(record.publicKey.bytes) == target {
                    if let key = result.packets[index].units.last?.field("publicKey") {
                        result.packets[index].account.mark(key.range, .verified)
                    }
                } else {
                    issue(.hash, index, "hyperdht.publicKey", range.lowerBound, "the public key is not the target's preimage")
                }
            }
        case .lookup: nested(LookupReply.self, index, range, .hyperDHT, "LOOKUP reply")
        case .mutableGet:
            if let record = nested(MutableRecord.self, index, range, .hyperDHT, "mutable record") {
                if let key = exchange.target.flatMap({ knowledge.keysByTarget[$0] }) {
                    checkMutable(key, record.seq, record.value, record.signature, index, range)
                }
            }
        case .immutableGet:
            checkImmutable(Array(result.packets[index].packet.payload[range]), exchange.target, index, range, "dht-rpc.value")
        default: break
        }
    }

    private func markTarget(_ index: Int) {
        if let target = range(of: "target", index) { result.packets[index].account.mark(target, .verified) }
    }

    private func checkAnnounce(_ message: AnnounceMessage, _ request: Request, _ index: Int, _ range: Range<Int>) {
        guard message.signature != nil, message.peer != nil, let target = request.target, let token = request.token else { return }
        let purpose: RecordSignature.Purpose = request.command == HyperDHTCommand.announce.rawValue ? .announce : .unannounce
        let nodeID = NodeID.of(result.packets[index].packet.destination)
        let judge = { RecordSignature.verify(purpose, message, target: target, token: token, nodeID: nodeID) }
        let isValid = memory?.signature(result.packets[index].packet.payload + nodeID.bytes, judge) ?? judge()
        if isValid {
            result.verified.signatures += 1
            // Everything but flags and bump is covered.
            for name in ["peer", "refresh", "signature"] {
                if let record = result.packets[index].units.last?.field(name) {
                    result.packets[index].account.mark(record.wholeRange, .verified)
                }
            }
            markTarget(index)
        } else {
            result.failed.signatures += 1
            issue(
                .signature, index, "hyperdht.signature", result.packets[index].units.last?.field("signature")?.range.lowerBound,
                "the signature does not verify over target, node id, token and record")
        }
    }

    private func checkMutable(
        _ key: Bytes32, _ seq: UInt64, _ value: [UInt8], _ signature: [UInt8], _ index: Int, _ range: Range<Int>
    ) {
        let judge = { RecordSignature.verifyMutable(seq: seq, value: value, signature: signature, publicKey: key) }
        let isValid = memory?.signature(Array(result.packets[index].packet.payload[range]) + key.bytes, judge) ?? judge()
        if isValid {
            result.verified.signatures += 1
            result.packets[index].account.mark(range, .verified)
        } else {
            result.failed.signatures += 1
            issue(
                .signature, index, "hyperdht.signature", result.packets[index].units.last?.field("signature")?.range.lowerBound,
                "the signature does not verify over seq and value")
        }
    }

    private func isRefused(_ exchange: Exchange?) -> Bool {
        guard let answer = exchange?.response, case .response(let response) = result.packets[answer].message
        else { return false }
        return response.error == ErrorCode.invalidToken
    }

    private func checkImmutable(_ value: [UInt8], _ target: Bytes32?, _ index: Int, _ range: Range<Int>, _ field: String) {
        guard let target else { return }
        if Blake2b.hash256(value) == target {
            result.verified.hashes += 1
            result.packets[index].account.mark(range, .verified)
            markTarget(index)
        } else {
            result.failed.hashes += 1
            issue(.hash, index, field, range.lowerBound, "the value is not the target's preimage")
        }
    }
}
