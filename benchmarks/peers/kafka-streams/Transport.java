import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeaders;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

/** Reads every fact, reads and writes the state of its patient, publishes outputs: the sizes of a decision engine, no rules. */
public final class Transport {
    private static final String STORE = "patients";

    public static void main(String[] args) throws InterruptedException {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, args[1]);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, Path.of(args[2]).toString());
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix("auto.offset.reset"), "earliest");
        settings.put(StreamsConfig.consumerPrefix("session.timeout.ms"), 10_000);

        int stateBytes = Integer.parseInt(args[5]);
        int outputBytes = Integer.parseInt(args[6]);
        int outputsPer1000 = Integer.parseInt(args[7]);

        var bytes = Serdes.ByteArray();
        var string = Serdes.String();
        Topology topology = new Topology();
        topology.addSource("facts", string.deserializer(), bytes.deserializer(), args[3].split(","));
        topology.addProcessor("transport", () -> new Transporter(stateBytes, outputBytes, outputsPer1000), "facts");
        topology.addStateStore(
                Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(STORE), string, bytes), "transport");
        topology.addSink("decisions", args[4], string.serializer(), bytes.serializer(), "transport");

        KafkaStreams streams = new KafkaStreams(topology, settings);
        CountDownLatch stopped = new CountDownLatch(1);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(20));
            stopped.countDown();
        }));
        streams.start();
        stopped.await();
    }

    private static final class Transporter implements Processor<String, byte[], String, byte[]> {
        private final int stateBytes;
        private final int outputBytes;
        private final int outputsPer1000;
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, byte[]> patients;
        private int owed; // thousandths of an output

        Transporter(int stateBytes, int outputBytes, int outputsPer1000) {
            this.stateBytes = stateBytes;
            this.outputBytes = outputBytes;
            this.outputsPer1000 = outputsPer1000;
        }

        @Override
        public void init(ProcessorContext<String, byte[]> context) {
            this.context = context;
            this.patients = context.getStateStore(STORE);
        }

        @Override
        public void process(Record<String, byte[]> fact) {
            byte[] before = patients.get(fact.key());
            byte[] state = sized(fact.value(), stateBytes);
            state[0] = (byte) (before == null ? 1 : before[0] + 1);
            patients.put(fact.key(), state);
            Header id = fact.headers().lastHeader("ce_id");
            for (owed += outputsPer1000; owed >= 1000; owed -= 1000) {
                var headers = new RecordHeaders();
                headers.add("caused_by", id.value());
                headers.add("ce_type", new byte[16]);
                headers.add("ce_specversion", new byte[3]);
                context.forward(new Record<>(fact.key(), sized(fact.value(), outputBytes), fact.timestamp(), headers));
            }
        }

        /** Bytes of a fact, repeated up to a size: neither longer nor easier to compress than the facts are. */
        private static byte[] sized(byte[] value, int size) {
            byte[] made = Arrays.copyOf(value, Math.max(1, size));
            for (int at = value.length; at < made.length; at++) {
                made[at] = made[at - value.length];
            }
            return made;
        }
    }
}
