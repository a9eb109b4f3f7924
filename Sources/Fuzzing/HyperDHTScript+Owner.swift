import CompactEncoding
import HyperCrypto
import HyperDHT
import SansIO

/// What the owner of the node commands and answers.
extension HyperDHTScript {
    func command() {
        node.advance(to: clock.now)
        guard operations.values.filter({ !$0 }).count < 16 else { return }
        let id: OperationID
        switch script.byte() & 15 {
        case 0, 1: id = node.lookup(script.bytes32(), nodes: endpoints(4))
        case 2: id = node.findPeer(keyPair().publicKey)
        case 3, 4:
            var options = AnnounceOptions()
            options.bump = script.number() & (1 << 53 - 1)
            options.clears = script.bool()
            let keys = keyPair()
            id = node.announce(
                script.bytes32(), signer: script.bool() ? .keyPair(keys) : .external(publicKey: keys.publicKey),
                relayAddresses: endpoints(5), options: options)
        case 5: id = node.unannounce(script.bytes32(), signer: .keyPair(keyPair()))
        case 6: id = node.immutableGet(script.bytes32())
        case 7: id = node.immutablePut(script.take(script.int(30)))
        case 8:
            var options = MutableGetOptions()
            options.seq = script.number() & (1 << 53 - 1)
            options.latest = script.bool()
            options.refreshes = script.bool()
            id = node.mutableGet(keyPair().publicKey, options: options)
        case 9: id = node.mutablePut(keyPair(), seq: script.number() & (1 << 53 - 1), value: script.take(script.int(20)))
        case 10:
            if let operation = operations.filter({ !$0.value }).keys.min() {
                operations[operation] = true
                node.cancel(operation)
            }
            return
        default: id = node.ping(script.endpoint())
        }
        operations[id] = operations[id] ?? false
    }

    func listen() {
        var options = ServerOptions()
        let choice = script.byte()
        options.firewall = [.accept, .ask, .reject, .accept][Int(choice & 3)]
        options.holepunch = [.allow, .refuse, .never, .allow][Int(choice >> 2 & 3)]
        options.servesRelaying = choice & 16 != 0
        options.reusableSocket = choice & 32 != 0
        if choice & 64 != 0 { options.relayThrough = [keyPair().publicKey] }
        if choice & 128 != 0 { options.signer = .external(publicKey: HyperDHTScript.nodeKey.publicKey) }
        if servers.count < 3, let id = try? node.listen(script.byte() & 7 == 7 ? keyPair() : nil, options: options) { servers.append(id) }
        if script.byte() & 7 == 7, !servers.isEmpty { node.close(servers.removeFirst()) }
    }

    func connect() {
        guard connections.values.filter({ $0 != .closed }).count < 4 else { return }
        var options = ConnectOptions()
        let choice = script.byte()
        options.relayAddresses = endpoints(4)
        options.reusableSocket = choice & 1 != 0
        options.localConnection = choice & 2 == 0
        options.fastOpen = choice & 4 == 0
        options.holepunch = [.allow, .allow, .refuse, .never][Int(choice >> 3 & 3)]
        if choice & 32 != 0 { options.relayThrough = [keyPair().publicKey] }
        let key = script.byte() & 7 == 7 ? script.bytes32() : NoiseScript.second.publicKey
        let id = node.connect(key, options: options)
        connections[id] = connections[id] ?? .asked
        if choice & 64 != 0 { _ = node.write(id, script.take(script.int(20))) }
    }

    func use() {
        let live = connections.keys.filter { connections[$0] != .closed }.sorted()
        guard !live.isEmpty else { return }
        let id = live[script.int(min(live.count, 256))]
        switch script.byte() & 15 {
        case 0...4: _ = node.write(id, script.take(script.int(60)))
        case 5: _ = node.write(id, [UInt8](repeating: 1, count: script.int(20_000)))
        case 6: node.end(id)
        case 7: node.destroy(id)
        case 8: _ = node.send(id, message: script.take(script.int(40)))
        case 9: node.setKeepAlive(id, .milliseconds(1 + script.milliseconds()))
        case 10: node.sendKeepAlive(id)
        case 11: node.setHeldBytes(id, Int(truncatingIfNeeded: script.number()))
        case 12: _ = node.flush(id, token: script.number())
        default: _ = node.traffic(of: id)
        }
    }

    func decide() {
        if !questions.isEmpty { node.decide(questions.removeFirst(), accept: script.byte() & 3 != 3) }
        if let question = signatures.first {
            signatures.removeFirst()
            let pair = HyperDHTScript.keys.first { $0.publicKey == question.publicKey } ?? HyperDHTScript.nodeKey
            node.sign(
                question.id, script.byte() & 7 == 7 ? script.take(script.int(70)) : script.bool() ? nil : pair.sign(question.signable))
        }
        if !plugins.isEmpty {
            let question = plugins.removeFirst()
            if script.bool() {
                node.answer(question, value: script.take(8), error: script.number() & (1 << 53 - 1))
            } else {
                node.discard(question)
            }
        }
    }

    func life() {
        switch script.byte() & 15 {
        case 0...4: node.suspend()
        case 5...10: node.resume()
        case 11: node.refreshServers()
        case 12: node.bindFailed()
        case 13: if script.byte() & 3 == 0 { node.destroy(force: script.bool()) }
        default: node.addNode(script.endpoint())
        }
    }
}
