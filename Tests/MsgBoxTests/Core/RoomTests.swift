import MsgBox
import Testing

/// A raw UDP client that begins a message and goes on with it as it likes.
private final class Holder {
  let stranger: Stranger
  let session: UInt64
  private let address: Address
  private var next: UInt16 = 0

  init(_ index: Int, of server: Address, in simulation: Simulation) throws {
    stranger = simulation.addStranger(at: RawServer.strangerAddress(index * 256))
    address = server
    session = try #require(
      stranger.shakeHands(with: server, own: 1000 + UInt64(index), in: simulation))
  }

  /// Sends the next 1000 bytes of a message of a megabyte.
  func go(on count: Int = 1, isReliable: Bool = true) {
    for _ in 0..<count {
      let piece = [UInt8](repeating: 7, count: 1000)
      let packet =
        isReliable
        ? RawPacket.numbered(
          UInt32(next), session,
          RawPacket.reliable(
            channel: 0, place: 0, messageID: 0, packets: 1000, packet: next, piece))
        : RawPacket.part(session, messageID: 0, packets: 1000, packet: next, piece)
      stranger.send(packet, to: address)
      next += 1
    }
  }

  /// The reasons of the closes that it got.
  var closes: Set<UInt8> {
    Set(stranger.received.filter { $0.kind == .close }.map { $0.bytes[7] })
  }
}

@Suite("Room for messages that are not complete", .transitions)
struct RoomTests {
  private let overload: UInt8 = 4

  private func bound(_ server: Node, to bytes: UInt64) {
    var limits = BoxLimits()
    limits.receiveBytes = bytes
    let isSet = server.endpoint.setLimits(limits)
    #expect(isSet)
  }

  private func hold(_ pair: Pair, _ indices: Range<Int>) throws -> [Holder] {
    try indices.map { try Holder($0, of: pair.address, in: pair.simulation) }
  }

  private func held(_ pair: Pair) -> Int { pair.server.endpoint.census.incompleteBytes }

  private let message = [UInt8](repeating: 1, count: 500_000)

  private func arrived(_ pair: Pair) -> Int {
    pair.server.log.all(.message).count { $0.bytes == message }
  }

  @Test("Streams that hold all that they may leave UDP its own")
  func streamsFull() throws {
    let pair = try Pair(.udp)
    bound(pair.server, to: 1_000_000)
    let streams = pair.server.listen(.tcp, context: 101)
    _ = try #require(pair.server.wait(for: .listening, count: 2))
    let host = pair.simulation.addNode("host")
    let slow = try (UInt64(0)..<14).map { index in
      let address = pair.server.address(of: streams)
      let stream = try #require(RawStream(from: host, to: address))
      #expect(stream.shakeHands(own: 100 + index))
      stream.send(
        RawPacket.u32(900_008) + RawPacket.header(.oneWay) + [UInt8](repeating: 1, count: 66_000))
      return stream
    }
    pair.run(for: .seconds(2))
    #expect(held(pair) > 900_000)
    #expect(pair.client.sendReliably(message, to: pair.up) == .ok)
    #expect(pair.client.send(message, to: pair.up) == .ok)
    pair.run(for: .seconds(5))
    #expect(arrived(pair) == 2)
    #expect(pair.server.log.count(.connectionClosed) == 0)
    for stream in slow { stream.close() }
    pair.finish()
  }

  @Test("A stream that our own program does not read is the last to make way")
  func unreadStream() throws {
    let pair = try Pair(.tcp)
    bound(pair.server, to: 1_000_000)
    var options = ConnectionOptions()
    options.receiveMarkMessages = 10
    let unread = pair.server.listen(.tcp, options: options, context: 101)
    _ = try #require(pair.server.wait(for: .listening, count: 2))
    let host = pair.simulation.addNode("host")
    func begin(_ listener: Handle, own: UInt64, _ bytes: Int) throws -> RawStream {
      let stream = try #require(RawStream(from: host, to: pair.server.address(of: listener)))
      #expect(stream.shakeHands(own: own))
      stream.send(
        RawPacket.frame(RawPacket.header(.oneWay)) + RawPacket.u32(900_008)
          + RawPacket.header(.oneWay) + [UInt8](repeating: 1, count: bytes))
      return stream
    }
    // It is read no more behind its first message, which comes with a part of the second.
    pair.server.untaken(unread, messages: 10)
    let patient = try begin(unread, own: 100, 1000)
    pair.run(for: .seconds(60))
    #expect(held(pair) == 1000)
    let eager = try (UInt64(0)..<18).map { try begin(pair.listener, own: 200 + $0, 66_000) }
    pair.run(for: .seconds(1))
    #expect(eager.contains { $0.end != nil })
    #expect(patient.end == nil)
    for stream in eager + [patient] { stream.close() }
    pair.server.untaken(unread, messages: -10)
    pair.finish()
  }

  @Test("UDP that holds all that it may leaves streams their own")
  func datagramsFull() throws {
    let pair = try Pair(.tcp)
    bound(pair.server, to: 900_000)
    let datagrams = pair.server.listen(.udp, context: 101)
    _ = try #require(pair.server.wait(for: .listening, count: 2))
    let holder = try Holder(1, of: pair.server.address(of: datagrams), in: pair.simulation)
    holder.go(on: 950)
    pair.run(for: .seconds(1))
    #expect(held(pair) > 890_000)
    pair.client.streamPiece = 10_000
    #expect(pair.client.send(message, to: pair.up) == .ok)
    pair.run(for: .seconds(5))
    #expect(arrived(pair) == 1)
    #expect(pair.server.log.count(.connectionClosed) == 0)
    pair.finish()
  }

  @Test("Sessions that hold all with messages that never end make room for one that goes on")
  func neverEnding() throws {
    let pair = try Pair(.udp)
    bound(pair.server, to: 3_080_000)
    let holders = try hold(pair, 1..<61)
    for holder in holders { holder.go(on: 47) }
    for _ in 0..<4 {
      for holder in holders { holder.go() }
      pair.run(for: .seconds(3))
    }
    #expect(held(pair) > 3_070_000)
    #expect(holders.allSatisfy { $0.closes.isEmpty })
    for _ in 0..<4 {
      #expect(pair.client.sendReliably(message, to: pair.up) == .ok)
      for holder in holders { holder.go() }
      pair.run(for: .seconds(3))
    }
    #expect(arrived(pair) == 4)
    #expect(pair.client.log.count(.connectionClosed) == 0)
    let ended = holders.filter { !$0.closes.isEmpty }
    #expect(!ended.isEmpty && ended.count < 60)
    #expect(ended.allSatisfy { $0.closes == [overload] })
    pair.finish()
    #expect(held(pair) == 0)
  }

  @Test("Who is slow is not ended while there is room, nor for the sake of one that holds longer")
  func slow() throws {
    let pair = try Pair(.udp)
    bound(pair.server, to: 1_010_000)
    let slow = try Holder(1, of: pair.address, in: pair.simulation)
    for _ in 0..<20 {
      slow.go()
      pair.run(for: .seconds(5))
    }
    #expect(slow.closes.isEmpty)
    // Holds nearly all, and asks for more again and again.
    let other = try Holder(2, of: pair.address, in: pair.simulation)
    other.go(on: 950)
    for _ in 0..<25 {
      slow.go()
      pair.run(for: .seconds(1))
    }
    #expect(slow.closes.isEmpty && other.closes.isEmpty)
    for _ in 0..<10 {
      slow.go()
      pair.run(for: .milliseconds(500))
      other.go()
      pair.run(for: .milliseconds(500))
    }
    #expect(slow.closes.isEmpty)
    #expect(other.closes == [overload])
    pair.finish()
  }

  @Test("Of many that have no room together some give way, and all others get on")
  func crowd() throws {
    let pair = try Pair(.udp)
    bound(pair.server, to: 1_000_000)
    let ups = (0..<6).map { _ in pair.client.connect(.udp, to: pair.address) }
    pair.run(for: .seconds(1))
    for up in ups {
      for _ in 0..<2 { #expect(pair.client.sendReliably(message, to: up) == .ok) }
    }
    pair.run(for: .seconds(60))
    let ended = pair.client.log.all(.connectionClosed)
    // There is room for two of those messages.
    #expect(ended.count <= 4 && ended.allSatisfy { $0.status == .overload })
    #expect(arrived(pair) >= 2 * (6 - ended.count))
    pair.finish()
  }

  @Test("What is not reliable is dropped for room before a session is ended")
  func unreliableFirst() throws {
    let pair = try Pair(.udp)
    bound(pair.server, to: 1_000_000)
    let holders = try hold(pair, 1..<11)
    for holder in holders { holder.go(on: 99, isReliable: false) }
    pair.run(for: .milliseconds(8500))
    #expect(held(pair) > 900_000)
    #expect(pair.client.sendReliably(message, to: pair.up) == .ok)
    // Before they would be given up anyway.
    pair.run(for: .seconds(1))
    #expect(arrived(pair) == 1)
    #expect(holders.allSatisfy { $0.closes.isEmpty })
    #expect(pair.server.dropped(.incomplete) > 0)
    pair.finish()
  }
}
