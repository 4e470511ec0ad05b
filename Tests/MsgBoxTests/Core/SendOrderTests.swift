import MsgBox
import Testing

/// Who may overtake whom on the way out.
@Suite("The order of what waits to be sent")
struct SendOrderTests {
  @Test(
    "A message with a deadline or a key keeps its place in its channel",
    arguments: [Transport.udp, .tcp])
  func channelOrder(_ transport: Transport) throws {
    let pair = try Pair(transport)
    var options = reliableOptions(channel: 1)
    options.deadline = .seconds(10)
    #expect(pair.client.send(Array("one".utf8), to: pair.up, options: options) == .ok)
    #expect(pair.client.sendReliably(Array("two".utf8), to: pair.up, channel: 1) == .ok)
    options.deadline = Interval(nanoseconds: 0)
    options.key = 7
    #expect(pair.client.send(Array("three".utf8), to: pair.up, options: options) == .ok)
    #expect(pair.client.sendReliably(Array("four".utf8), to: pair.up, channel: 1) == .ok)
    _ = try #require(pair.server.wait(for: .message, count: 4))
    let words = pair.server.log.all(.message).map { String(decoding: $0.bytes, as: UTF8.self) }
    #expect(words == ["one", "two", "three", "four"])
    pair.finish()
  }

  @Test("A stream keeps the order of messages with and without a deadline")
  func streamOrder() throws {
    let pair = try Pair(.tcp)
    for number in 0..<100 as Range<UInt8> {
      var options = SendOptions()
      if number % 3 == 0 { options.deadline = .seconds(10) }
      #expect(pair.client.send([number], to: pair.up, options: options) == .ok)
    }
    _ = try #require(pair.server.wait(for: .message, count: 100))
    #expect(pair.server.log.all(.message).map(\.bytes) == (0..<100).map { [UInt8($0)] })
    pair.finish()
  }

  @Test("A message above 4 MiB has its turn although other channels never stop sending")
  func largeBesideMany() throws {
    var options = ConnectionOptions()
    options.maxMessageBytes = 16 << 20
    options.sendMarkBytes = 64 << 20
    let pair = try Pair(.udp, serverOptions: options, clientOptions: options)
    let large = [UInt8](repeating: 1, count: 5 << 20)
    var isThere = false
    var sent: UInt = 0
    pair.server.onEvent = { _, event in
      if event.bytes.count == large.count { isThere = true }
    }
    // Whenever one of many small messages is delivered, the next one is sent.
    pair.client.onEvent = { client, event in
      if event.kind == .delivered, !isThere {
        sent += 1
        _ = client.sendReliably([2], to: pair.up, channel: 2, outcome: sent)
      }
    }
    // Spread over the time of several acknowledgements, so that there is always one on its way.
    while sent < 100 {
      sent += 1
      #expect(pair.client.sendReliably([2], to: pair.up, channel: 2, outcome: sent) == .ok)
      pair.run(for: .milliseconds(1))
    }
    #expect(pair.client.sendReliably(large, to: pair.up, channel: 1) == .ok)
    #expect(pair.simulation.run(within: .seconds(60)) { isThere })
    pair.client.onEvent = nil
    pair.server.onEvent = nil
    pair.finish()
  }

  /// How many datagrams of the client go before the one with its ack, when it answers a reliable
  /// message with many datagrams of its own.
  private func datagramsBeforeAck(_ answer: @escaping (Node, Handle) -> Void) throws -> Int? {
    let pair = try Pair(.udp, serverOptions: roomyOptions(), clientOptions: roomyOptions())
    pair.client.onEvent = { client, event in
      if event.kind == .message { answer(client, pair.up) }
    }
    var sent = 0
    var before: Int?
    pair.simulation.onDatagram = { datagram in
      guard datagram.from.ip == pair.client.ip else { return true }
      // Only an ack is that small, or behind something else.
      if before == nil, datagram.acknowledged != nil { before = sent }
      sent += 1
      return true
    }
    #expect(pair.server.sendReliably([1], to: pair.down, outcome: 1) == .ok)
    _ = try #require(pair.server.wait(for: .delivered))
    #expect(sent > 50)
    pair.client.onEvent = nil
    pair.finish()
    return before
  }

  @Test("An acknowledgement does not wait for the end of a large unreliable message")
  func ackBesideFragments() throws {
    let before = try datagramsBeforeAck { client, up in
      #expect(client.send([UInt8](repeating: 1, count: 100_000), to: up) == .ok)
    }
    #expect(before.map { $0 <= 2 } == true, "\(String(describing: before)) datagrams before it")
  }

  @Test("An acknowledgement does not wait for full datagrams that are sealed")
  func ackBesideSealed() throws {
    let before = try datagramsBeforeAck { client, up in
      for _ in 0..<100 {
        #expect(client.send([UInt8](repeating: 1, count: 1176), to: up) == .ok)
      }
    }
    #expect(before.map { $0 <= 2 } == true, "\(String(describing: before)) datagrams before it")
  }

  @Test("A small message takes turns with the packets of a large one before it")
  func smallBesideFragments() throws {
    let pair = try Pair(.udp, serverOptions: roomyOptions(), clientOptions: roomyOptions())
    var sizes: [Int] = []
    pair.simulation.onDatagram = { datagram in
      if datagram.from.ip == pair.client.ip { sizes.append(datagram.bytes.count) }
      return true
    }
    #expect(pair.client.send([UInt8](repeating: 1, count: 100_000), to: pair.up) == .ok)
    #expect(pair.client.send([2], to: pair.up) == .ok)
    _ = try #require(pair.server.wait(for: .message, count: 2))
    let place = try #require(sizes.firstIndex { $0 < 50 })
    #expect(place <= 2)
    pair.finish()
  }
}
