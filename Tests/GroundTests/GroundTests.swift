import CompactEncoding
import HyperCrypto
import SansIO
import StrictJSON
import Testing

@Suite struct GroundTests {
    @Test func addressesParseAndPrint() {
        #expect(IPAddress("10.1.1.1")?.description == "10.1.1.1")
        #expect(IPAddress("10.1.1.256") == nil)
        #expect(IPAddress("::1")?.description == "0:0:0:0:0:0:0:1")
        #expect(IPAddress("::ffff:10.0.0.1")?.unmapped == IPAddress("10.0.0.1"))
    }

    @Test func doubledKeysAreRefused() {
        #expect(throws: JSONError.self) { try JSON.parse("{\"a\":1,\"a\":2}") }
    }

    /// A sign passes where a number is parsed from text: as an escape it must not.
    @Test(arguments: ["-000", "+041", "00 1", "00", "d800"])
    func escapesHaveFourDigits(_ digits: String) {
        #expect(throws: JSONError.self) { try JSON.parse("\"\\u\(digits)\"") }
    }

    @Test(arguments: ["127.0.0.1:80", "0.0.0.0:0", "[0:0:0:0:0:0:0:1]:65535"])
    func addressesReadAsTheyAreWritten(_ text: String) { #expect(Endpoint(text)?.description == text) }

    @Test(arguments: [
        "127.0.0.1:+80", "127.0.0.1:-0", "127.0.0.1:65536", "127.0.0.1:", "+1.0.0.1:80", "name:80", "127.0.0.1", "::1:80", "[+1::]:80",
        "[1.2.3.4::]:80", "[1:2:3]:80", "[1::2::3]:80", "[127.0.0.1]:80",
    ])
    func whatIsNoAddressIsRefused(_ text: String) { #expect(Endpoint(text) == nil) }

    @Test func namespacesAreThoseOfTheSpecification() {
        #expect(Namespace.announce.description == "36386adddf9f6fd60db83a6f42fc159d1146aa8644037664230aaa1f0179d497")
    }

    @Test func aPlantedMutationEndsWithItsScope() {
        #expect(!Mutation.udx(15).isActive)
        Mutation.udx(15).plant { #expect(Mutation.udx(15).isActive == Mutation.pointsExist) }
        #expect(!Mutation.udx(15).isActive)
    }
}
