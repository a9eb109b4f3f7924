import CompactEncoding
import SansIO

extension TraceDissector {
    func readHandshakes() {}
    func openHolepunchPayloads() {}
    func followSecretStreams() {}
}
