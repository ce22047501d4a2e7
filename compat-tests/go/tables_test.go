package shelf

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

func TestATableIsMadeWaitedForDescribedAndDeleted(t *testing.T) {
	client, name := connect(t), unusedName()
	made, err := client.CreateTable(t.Context(), definition(name))
	if err != nil {
		t.Fatal(err)
	}
	same(t, *made.TableDescription.TableName, name)
	_, err = client.CreateTable(t.Context(), definition(name))
	fails[*types.ResourceInUseException](t, err)
	waitUntilThere(t, client, name)

	described, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		t.Fatal(err)
	}
	table := described.Table
	same(t, table.TableStatus, types.TableStatusActive)
	same(t, table.KeySchema, definition(name).KeySchema)
	same(t, table.BillingModeSummary.BillingMode, types.BillingModePayPerRequest)
	same(t, *table.GlobalSecondaryIndexes[0].IndexName, "by-genre")
	if age := time.Since(*table.CreationDateTime); age.Abs() > time.Minute {
		t.Errorf("made %v ago", age)
	}
	if !strings.HasPrefix(*table.LatestStreamArn, *table.TableArn+"/stream/") {
		t.Errorf("the stream %s of %s", *table.LatestStreamArn, *table.TableArn)
	}

	if _, err := client.DeleteTable(t.Context(), &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
		t.Fatal(err)
	}
	waiter := dynamodb.NewTableNotExistsWaiter(client, func(o *dynamodb.TableNotExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 50*time.Millisecond, time.Second
	})
	if err := waiter.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}, patience); err != nil {
		t.Fatal(err)
	}
	_, err = client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
	fails[*types.ResourceNotFoundException](t, err)
}

func TestTablesAreListedPageByPage(t *testing.T) {
	client := connect(t)
	mine := []string{makeShelf(t, client), makeShelf(t, client), makeShelf(t, client)}
	var listed []string
	pages := dynamodb.NewListTablesPaginator(client, &dynamodb.ListTablesInput{Limit: aws.Int32(2)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(page.TableNames) > 2 {
			t.Fatalf("a page of %d", len(page.TableNames))
		}
		listed = append(listed, page.TableNames...)
	}
	for _, name := range mine {
		if !slices.Contains(listed, name) {
			t.Errorf("%s is not in %v", name, listed)
		}
	}
	slices.Sort(listed)
	same(t, len(slices.Compact(slices.Clone(listed))), len(listed))
}

func TestATableKeepsItsTimeToLive(t *testing.T) {
	client := connect(t)
	shelf := makeShelf(t, client)
	_, err := client.UpdateTimeToLive(t.Context(), &dynamodb.UpdateTimeToLiveInput{
		TableName: &shelf,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{
			AttributeName: aws.String("lent_until"), Enabled: aws.Bool(true),
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	described, err := client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &shelf})
	if err != nil {
		t.Fatal(err)
	}
	same(t, *described.TimeToLiveDescription.AttributeName, "lent_until")
	status := described.TimeToLiveDescription.TimeToLiveStatus
	if status != types.TimeToLiveStatusEnabled && status != types.TimeToLiveStatusEnabling {
		t.Errorf("its status is %s", status)
	}
}
