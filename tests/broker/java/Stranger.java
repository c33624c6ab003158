import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.time.Duration;
import java.time.LocalDate;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.SchemaBuilder;
import org.apache.avro.data.TimeConversions;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * What a Java team would write: Apache's own client and Avro library, the schema files, and their ids; nothing of pathway-billing.
 *
 * <p>Publishes one claim for each patient and reads decisions until each claim has one. Prints what it did, one thing a line.
 */
public final class Stranger {
    private static final GenericData AVRO = new GenericData();
    private static final int HEAD_BYTES = 5;

    static {
        AVRO.addLogicalTypeConversion(new TimeConversions.DateConversion());
        AVRO.addLogicalTypeConversion(new TimeConversions.TimestampMicrosConversion());
    }

    /** Arguments: bootstrap servers, patients (comma-separated), and schemas as id=file; the first is that of claims. */
    public static void main(String[] args) throws Exception {
        List<String> patients = List.of(args[1].split(","));
        Map<Integer, Schema> schemas = new HashMap<>();
        int claimId = Integer.parseInt(args[2].split("=")[0]);
        for (String given : List.of(args).subList(2, args.length)) {
            String[] parts = given.split("=", 2);
            schemas.put(Integer.parseInt(parts[0]), new Schema.Parser().parse(Path.of(parts[1]).toFile()));
        }
        publish(args[0], patients, claimId, schemas.get(claimId));
        read(args[0], patients.size(), schemas);
    }

    private static void publish(String servers, List<String> patients, int schemaId, Schema schema) throws Exception {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", servers);
        settings.put("acks", "all");
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer())) {
            for (String patient : patients) {
                byte[] value = framed(schemaId, claim(schema, patient));
                var record = new ProducerRecord<>("claim-received", patient, value);
                record.headers().add("ce_source", "/java".getBytes(StandardCharsets.UTF_8));
                System.out.printf("published %s %d%n", patient, producer.send(record).get().partition());
            }
        }
    }

    private static GenericRecord claim(Schema schema, String patient) {
        Schema costShare = schema.getField("cost_share").schema();
        Schema line = schema.getField("lines").schema().getElementType();
        LocalDate service = LocalDate.of(2024, 1, 8);
        return new GenericRecordBuilder(schema)
                .set("event_id", "java-" + patient)
                .set("patient_id", patient)
                .set("plan_id", "PPO")
                .set("payer_id", "HP001")
                .set("claim_id", "JAVA-" + patient)
                .set("frequency_code", "1")
                .set("patient_control_number", "PCN-" + patient)
                .set("billing_npi", "1234567893")
                .set("received_date", service.plusDays(4))
                .set("form_type", "CMS-1500")
                .set("cost_share", new GenericRecordBuilder(costShare)
                        .set("copay_cents", 0L)
                        .set("deductible_remaining_cents", 0L)
                        .set("coinsurance_bp", 0L)
                        .build())
                .set("lines", List.of(new GenericRecordBuilder(line)
                        .set("line_number", 1L)
                        .set("procedure_code", "S0353")
                        .set("modifiers", List.of())
                        .set("service_date", service)
                        .set("service_date_to", service)
                        .set("units", 1L)
                        .set("charge_cents", 40_000L)
                        .set("diagnosis_codes", List.of("C50911"))
                        .set("place_of_service", "11")
                        .build()))
                .build();
    }

    /** The Confluent wire format: a zero byte, the schema's id, the body. */
    private static byte[] framed(int schemaId, GenericRecord record) throws Exception {
        var bytes = new ByteArrayOutputStream();
        bytes.write(ByteBuffer.allocate(HEAD_BYTES).put((byte) 0).putInt(schemaId).array());
        var encoder = EncoderFactory.get().binaryEncoder(bytes, null);
        new GenericDatumWriter<GenericRecord>(record.getSchema(), AVRO).write(record, encoder);
        encoder.flush();
        return bytes.toByteArray();
    }

    private static void read(String servers, int claims, Map<Integer, Schema> schemas) throws Exception {
        // what this team wants to know of a decision; Avro leaves out the rest
        Schema wanted = SchemaBuilder.record("BillingDecision").namespace("pathway_billing.events").fields()
                .requiredString("claim_id")
                .requiredLong("version")
                .requiredString("outcome")
                .requiredLong("paid_cents")
                .name("service_date")
                .type(org.apache.avro.LogicalTypes.date().addToSchema(Schema.create(Schema.Type.INT)))
                .noDefault()
                .endRecord();
        Properties settings = new Properties();
        settings.put("bootstrap.servers", servers);
        settings.put("isolation.level", "read_committed");
        settings.put("auto.offset.reset", "none");
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer())) {
            var partitions = consumer.partitionsFor("billing-decisions").stream()
                    .map(found -> new TopicPartition(found.topic(), found.partition()))
                    .toList();
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            for (int left = claims; left > 0; ) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    int schemaId = ByteBuffer.wrap(record.value(), 1, 4).getInt();
                    var body = DecoderFactory.get()
                            .binaryDecoder(record.value(), HEAD_BYTES, record.value().length - HEAD_BYTES, null);
                    GenericRecord decision =
                            new GenericDatumReader<GenericRecord>(schemas.get(schemaId), wanted, AVRO).read(null, body);
                    if (!decision.get("claim_id").toString().startsWith("JAVA-")) {
                        continue;
                    }
                    System.out.printf("decided %s %s %s %s %s %s%n", record.key(), decision.get("claim_id"),
                            decision.get("version"), decision.get("outcome"), decision.get("paid_cents"),
                            ((LocalDate) decision.get("service_date")).toString());
                    left--;
                }
            }
        }
    }
}
